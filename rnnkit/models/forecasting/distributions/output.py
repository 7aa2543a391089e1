"""Base class of forecast outputs."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from rnnkit.layers.window_scaling import WINDOW_SCALINGS
from rnnkit.models.forecasting.distributions.paths import crps_of_samples, quantiles_of_samples
from rnnkit.models.forecasting.parameters import Parameters
from rnnkit.support import Support


class Output(ABC):
    """A distribution, or a value, for each step and channel, from P raw parameters, a location and a scale.

    All arguments and results are in the units of location and scale. Losses and scores are computed from differences on
    the scale of the window, in the dtype of the raw parameters, but at least in float32: a level far above the spread
    does not reduce their precision. Values have the dtype of location and scale. Axes: B windows, N steps, C channels,
    P parameters, Q levels, S samples.
    """

    size: int
    """P, the number of raw parameters for each step and channel."""
    num_location_parameters: int = 1
    """The number of them, the first ones, that are values and move with the forecast."""
    scalings: tuple[str, ...] = WINDOW_SCALINGS
    """The kinds of window scaling that the distribution supports."""
    support: Support | None = None
    """The values that the distribution supports; None for all numbers. Data are checked when they are read."""
    samples: int = 200
    """The number of samples that represent the distribution if there is no formula."""

    @abstractmethod
    def loss(self, parameters: Parameters, targets_BNC: Tensor) -> Tensor:
        """Return [B, N, C], whose mean is the training loss; arbitrary where the target is NaN."""

    @abstractmethod
    def mean(self, parameters: Parameters) -> Tensor:
        """Return the mean [B, N, C]."""

    @abstractmethod
    def sample(self, parameters: Parameters, samples: int, generator: torch.Generator | None = None) -> Tensor:
        """Return samples [S, B, N, C]."""

    def provides(self, levels: Sequence[float]) -> bool:
        """Whether the output provides the quantiles of these levels."""
        return all(0 < level < 1 for level in levels)

    def quantiles(
        self, parameters: Parameters, levels: Sequence[float], generator: torch.Generator | None = None
    ) -> Tensor:
        """Return quantiles [Q, B, N, C], from samples unless the output has a formula."""
        return quantiles_of_samples(self.sample(parameters, self.samples, generator), levels)

    def crps(self, parameters: Parameters, targets_BNC: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the continuous ranked probability score [B, N, C], from samples unless the output has a formula."""
        return crps_of_samples(self.sample(parameters, self.samples, generator), targets_BNC)


def precision(parameters: Parameters) -> torch.dtype:
    """Return the dtype of the computation: that of the raw parameters, at least float32."""
    return torch.promote_types(parameters.raw.dtype, torch.float32)


def raw(parameters: Parameters, index: int) -> Tensor:
    """Return one raw parameter of each step and channel, [B, N, C]."""
    return parameters.raw[..., index].to(precision(parameters))


def located(parameters: Parameters, z_BNC: Tensor) -> Tensor:
    """Convert values [..., B, N, C] from the scale of the window to the units of location and scale."""
    return parameters.location[:, None] + parameters.scale[:, None] * z_BNC


def standardized(parameters: Parameters, values_BNC: Tensor) -> Tensor:
    """Convert values [B, N, C] to the scale of the window."""
    z_BNC = (values_BNC - parameters.location[:, None]) / parameters.scale[:, None]
    return z_BNC.to(precision(parameters))


def scale_of(parameters: Parameters) -> Tensor:
    """Return the scale of each window, [B, 1, C]."""
    return parameters.scale[:, None].to(precision(parameters))


def log_scale(parameters: Parameters) -> Tensor:
    """Return the logarithm of the scale, [B, 1, C], by which the log-density changes with the units."""
    return parameters.scale[:, None].log().to(precision(parameters))
