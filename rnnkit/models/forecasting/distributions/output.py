"""What every output can do."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from rnnkit.layers.window_scaling import WINDOW_SCALINGS
from rnnkit.models.forecasting import Parameters
from rnnkit.models.forecasting.distributions.paths import crps_of_samples, quantiles_of_samples
from rnnkit.support import Support


class Output(ABC):
    """A distribution, or a value, for each step and channel, from P raw numbers under a location and a scale.

    All that goes in and comes out is in the units that location and scale lead to. Losses and scores are computed from
    differences on the scale of the window, in the dtype of the raw numbers but single precision at least: a level far
    above the spread takes nothing from them. Values come out in the dtype of location and scale. Sizes: B windows,
    N steps, C channels, P parameters, Q levels, S samples.
    """

    size: int
    """P, the raw numbers for each step and channel."""
    moving: int = 1
    """How many of these, the first ones, are values, which move when the forecast moves."""
    scalings: tuple[str, ...] = WINDOW_SCALINGS
    """The kinds of window scaling that the distribution can go through."""
    support: Support | None = None
    """The values that the distribution can have; None for all numbers. Data are checked for it when they are read."""
    samples: int = 200
    """Samples that stand for the distribution where it has no formula."""

    @abstractmethod
    def loss(self, parameters: Parameters, targets_BNC: Tensor) -> Tensor:
        """[B, N, C], what training minimizes the mean of; anything where the target is NaN."""

    @abstractmethod
    def mean(self, parameters: Parameters) -> Tensor:
        """[B, N, C]."""

    @abstractmethod
    def sample(self, parameters: Parameters, samples: int, generator: torch.Generator | None = None) -> Tensor:
        """[S, B, N, C]."""

    def spans(self, levels: Sequence[float]) -> bool:
        """Whether the quantiles of these levels are known."""
        return all(0 < level < 1 for level in levels)

    def quantiles(
        self, parameters: Parameters, levels: Sequence[float], generator: torch.Generator | None = None
    ) -> Tensor:
        """[Q, B, N, C]; from samples, unless the output has a formula."""
        return quantiles_of_samples(self.sample(parameters, self.samples, generator), levels)

    def crps(self, parameters: Parameters, targets_BNC: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """[B, N, C], the continuous ranked probability score; from samples, unless the output has a formula."""
        return crps_of_samples(self.sample(parameters, self.samples, generator), targets_BNC)


def precision(parameters: Parameters) -> torch.dtype:
    """That of the raw numbers, single at least, in which an output computes."""
    return torch.promote_types(parameters.raw.dtype, torch.float32)


def raw(parameters: Parameters, index: int) -> Tensor:
    """One of the raw numbers of each step and channel, [B, N, C]."""
    return parameters.raw[..., index].to(precision(parameters))


def located(parameters: Parameters, z_BNC: Tensor) -> Tensor:
    """Values [..., B, N, C] on the scale of the window, in the units that location and scale lead to."""
    return parameters.location[:, None] + parameters.scale[:, None] * z_BNC


def standardized(parameters: Parameters, values_BNC: Tensor) -> Tensor:
    """Values [B, N, C] on the scale of the window."""
    z_BNC = (values_BNC - parameters.location[:, None]) / parameters.scale[:, None]
    return z_BNC.to(precision(parameters))


def scale_of(parameters: Parameters) -> Tensor:
    """The scale of each window, [B, 1, C]."""
    return parameters.scale[:, None].to(precision(parameters))


def log_scale(parameters: Parameters) -> Tensor:
    """Its logarithm, [B, 1, C], by which a density in other units differs."""
    return parameters.scale[:, None].log().to(precision(parameters))
