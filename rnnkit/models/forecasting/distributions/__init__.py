"""Outputs of forecasters: values, quantiles or distributions, each with its loss."""

from rnnkit.models.forecasting.distributions.gaussian import Gaussian
from rnnkit.models.forecasting.distributions.negative_binomial import NegativeBinomial
from rnnkit.models.forecasting.distributions.output import Output
from rnnkit.models.forecasting.distributions.point import Point
from rnnkit.models.forecasting.distributions.quantiles import Quantiles
from rnnkit.models.forecasting.distributions.student_t import StudentT

__all__ = ["Gaussian", "NegativeBinomial", "Output", "Point", "Quantiles", "StudentT"]
