"""Files in, batches out: every batch is a `SequenceBatch`.

Names are imported when they are first used, because `rnnkit data list` must not wait for torch and Lightning.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnnkit.data.batches import Batches as Batches
    from rnnkit.data.batches import padded as padded
    from rnnkit.data.cmapss import CMAPSSData as CMAPSSData
    from rnnkit.data.cylinder_bell_funnel import CylinderBellFunnel as CylinderBellFunnel
    from rnnkit.data.event_length import EventLength as EventLength
    from rnnkit.data.forecasting.data import ForecastData as ForecastData
    from rnnkit.data.forecasting.mackey_glass import MackeyGlass as MackeyGlass
    from rnnkit.data.function_source import FunctionSource as FunctionSource
    from rnnkit.data.labelled.audio import AudioLabelData as AudioLabelData
    from rnnkit.data.labelled.series import SeriesLabelData as SeriesLabelData
    from rnnkit.data.labelled.text import TextLabelData as TextLabelData
    from rnnkit.data.sequences import SequenceData as SequenceData
    from rnnkit.data.tagging.data import TagData as TagData
    from rnnkit.data.text import TextData as TextData
    from rnnkit.data.text import TextSplit as TextSplit
    from rnnkit.data.tokenizers import ByteTokenizer as ByteTokenizer
    from rnnkit.data.tokenizers import CharTokenizer as CharTokenizer
    from rnnkit.data.tokenizers import SubwordTokenizer as SubwordTokenizer
    from rnnkit.data.tokenizers import Tokenizer as Tokenizer
    from rnnkit.data.tokenizers import WordTokenizer as WordTokenizer
    from rnnkit.data.tokenizers import load_tokenizer as load_tokenizer
    from rnnkit.data.windows import Windows as Windows

_HOME = {
    "Batches": "batches",
    "padded": "batches",
    "ForecastData": "forecasting.data",
    "MackeyGlass": "forecasting.mackey_glass",
    "CMAPSSData": "cmapss",
    "CylinderBellFunnel": "cylinder_bell_funnel",
    "EventLength": "event_length",
    "FunctionSource": "function_source",
    "AudioLabelData": "labelled.audio",
    "SeriesLabelData": "labelled.series",
    "TextLabelData": "labelled.text",
    "SequenceData": "sequences",
    "TagData": "tagging.data",
    "TextData": "text",
    "TextSplit": "text",
    "Windows": "windows",
    "Tokenizer": "tokenizers",
    "CharTokenizer": "tokenizers",
    "ByteTokenizer": "tokenizers",
    "WordTokenizer": "tokenizers",
    "SubwordTokenizer": "tokenizers",
    "load_tokenizer": "tokenizers",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"rnnkit.data.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
