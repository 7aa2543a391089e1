"""Data modules that read files and yield batches of type `SequenceBatch`.

Names are imported on first use, so that `rnnkit data list` does not import torch and Lightning.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rnnkit.data.builtin.cmapss import CMAPSSData as CMAPSSData
    from rnnkit.data.builtin.cylinder_bell_funnel import CylinderBellFunnel as CylinderBellFunnel
    from rnnkit.data.builtin.event_length import EventLength as EventLength
    from rnnkit.data.builtin.function_source import FunctionSource as FunctionSource
    from rnnkit.data.builtin.mackey_glass import MackeyGlass as MackeyGlass
    from rnnkit.data.builtin.python_names import PythonNames as PythonNames
    from rnnkit.data.corpus.data import TextData as TextData
    from rnnkit.data.corpus.splits import CorpusSplit as CorpusSplit
    from rnnkit.data.corpus.text_split import TextSplit as TextSplit
    from rnnkit.data.corpus.windows import Windows as Windows
    from rnnkit.data.forecasting.data import ForecastData as ForecastData
    from rnnkit.data.forecasting.division import StepSplit as StepSplit
    from rnnkit.data.forecasting.options import Covariates as Covariates
    from rnnkit.data.forecasting.options import Times as Times
    from rnnkit.data.forecasting.options import WindowOptions as WindowOptions
    from rnnkit.data.io.tables.format import TableFormat as TableFormat
    from rnnkit.data.labeled.audio import AudioLabelData as AudioLabelData
    from rnnkit.data.labeled.division import ExampleSplit as ExampleSplit
    from rnnkit.data.labeled.series import SeriesLabelData as SeriesLabelData
    from rnnkit.data.labeled.text import TextLabelData as TextLabelData
    from rnnkit.data.loading.batches import Batches as Batches
    from rnnkit.data.loading.batches import padded as padded
    from rnnkit.data.loading.sequences import SequenceData as SequenceData
    from rnnkit.data.loading.split import FractionSplit as FractionSplit
    from rnnkit.data.tagging.data import TagData as TagData
    from rnnkit.data.tokenizers import ByteTokenizer as ByteTokenizer
    from rnnkit.data.tokenizers import CharTokenizer as CharTokenizer
    from rnnkit.data.tokenizers import SubwordTokenizer as SubwordTokenizer
    from rnnkit.data.tokenizers import Tokenizer as Tokenizer
    from rnnkit.data.tokenizers import WordTokenizer as WordTokenizer
    from rnnkit.data.tokenizers import load_tokenizer as load_tokenizer

_HOME = {
    "Batches": "loading.batches",
    "padded": "loading.batches",
    "ForecastData": "forecasting.data",
    "StepSplit": "forecasting.division",
    "Covariates": "forecasting.options",
    "Times": "forecasting.options",
    "WindowOptions": "forecasting.options",
    "TableFormat": "io.tables.format",
    "FractionSplit": "loading.split",
    "ExampleSplit": "labeled.division",
    "CorpusSplit": "corpus.splits",
    "MackeyGlass": "builtin.mackey_glass",
    "PythonNames": "builtin.python_names",
    "CMAPSSData": "builtin.cmapss",
    "CylinderBellFunnel": "builtin.cylinder_bell_funnel",
    "EventLength": "builtin.event_length",
    "FunctionSource": "builtin.function_source",
    "AudioLabelData": "labeled.audio",
    "SeriesLabelData": "labeled.series",
    "TextLabelData": "labeled.text",
    "SequenceData": "loading.sequences",
    "TagData": "tagging.data",
    "TextData": "corpus.data",
    "TextSplit": "corpus.text_split",
    "Windows": "corpus.windows",
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
