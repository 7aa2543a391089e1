"""Training: from a task and its data to a run folder."""

from rnnkit.training.fit import fit
from rnnkit.training.insight.callback import Insight
from rnnkit.training.optim.averaging import ExponentialAverage, NonmonotonicAverage
from rnnkit.training.optim.clipping import ClipNorm, ClipPercentile, ClipValue, NoClipping
from rnnkit.training.optim.schedules import constant, constant_then_decay, cosine, one_cycle, reduce_on_plateau
from rnnkit.training.report.confusion import ConfusionMatrixFigure
from rnnkit.training.report.forecasts import ForecastFigure
from rnnkit.training.report.monitor import Monitor
from rnnkit.training.report.report_text import ReportText
from rnnkit.training.report.samples import SampleText
from rnnkit.training.run.run import Run
from rnnkit.training.trained import TrainedRun, load

__all__ = [
    "ClipNorm",
    "ClipPercentile",
    "ClipValue",
    "ConfusionMatrixFigure",
    "ExponentialAverage",
    "ForecastFigure",
    "Insight",
    "Monitor",
    "NoClipping",
    "NonmonotonicAverage",
    "ReportText",
    "Run",
    "SampleText",
    "TrainedRun",
    "constant",
    "constant_then_decay",
    "cosine",
    "fit",
    "load",
    "one_cycle",
    "reduce_on_plateau",
]
