"""What the raw numbers of a forecaster mean: a value, quantiles or a distribution, each with its loss."""

from rnnkit.tasks.outputs.gaussian import Gaussian
from rnnkit.tasks.outputs.negative_binomial import NegativeBinomial
from rnnkit.tasks.outputs.output import Output
from rnnkit.tasks.outputs.point import Point
from rnnkit.tasks.outputs.quantiles import Quantiles
from rnnkit.tasks.outputs.student_t import StudentT

__all__ = ["Gaussian", "NegativeBinomial", "Output", "Point", "Quantiles", "StudentT"]
