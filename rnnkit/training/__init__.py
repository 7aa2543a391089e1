"""Training: what turns a task and its data into a run folder."""

from rnnkit.training.averaging import ExponentialAverage, NonmonotonicAverage
from rnnkit.training.clipping import ClipNorm, ClipPercentile, ClipValue, NoClipping
from rnnkit.training.confusion import ConfusionPicture
from rnnkit.training.details import DetailsText
from rnnkit.training.fit import fit
from rnnkit.training.forecast_plot import ForecastPicture
from rnnkit.training.monitor import Monitor
from rnnkit.training.runs import Run
from rnnkit.training.samples import SampleText
from rnnkit.training.schedules import constant, cosine, hold_then_decay, one_cycle, reduce_on_plateau
from rnnkit.training.trained import TrainedRun, load

__all__ = [
    "ClipNorm",
    "ClipPercentile",
    "ClipValue",
    "ConfusionPicture",
    "DetailsText",
    "ExponentialAverage",
    "ForecastPicture",
    "Monitor",
    "NoClipping",
    "NonmonotonicAverage",
    "Run",
    "SampleText",
    "TrainedRun",
    "constant",
    "cosine",
    "fit",
    "hold_then_decay",
    "load",
    "one_cycle",
    "reduce_on_plateau",
]
