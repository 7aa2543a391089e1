"""Models: input, layers and output. They do not depend on losses, Lightning or Hydra."""

from rnnkit.models.forecasting import AutoregressiveForecaster, DirectForecaster, SegmentForecaster
from rnnkit.models.language_model import LanguageModel
from rnnkit.models.sequence_model import SequenceModel
from rnnkit.models.tagger import Tagger

__all__ = [
    "AutoregressiveForecaster",
    "DirectForecaster",
    "LanguageModel",
    "SegmentForecaster",
    "SequenceModel",
    "Tagger",
]
