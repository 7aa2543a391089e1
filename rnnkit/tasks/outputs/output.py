"""What every output can do."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from rnnkit.layers.window_scaling import WINDOW_SCALINGS
from rnnkit.models.forecasting import Parameters
from rnnkit.tasks.outputs.paths import crps_of_samples, quantiles_of_samples


class Output(ABC):
    """A distribution, or a value, for each step and channel, from P raw numbers under a location and a scale.

    All that goes in and comes out is in the units that location and scale lead to. Sizes: B windows, N steps,
    C channels, P parameters, Q levels, S samples.
    """

    size: int
    """P, the raw numbers for each step and channel."""
    moving: int = 1
    """How many of these, the first ones, are values, which move when the forecast moves."""
    scalings: tuple[str, ...] = WINDOW_SCALINGS
    """The kinds of window scaling that the distribution can go through."""
    samples: int = 200
    """Samples that stand for the distribution where it has no formula."""

    @abstractmethod
    def loss(self, parameters: Parameters, targets_BNC: Tensor) -> Tensor:
        """[B, N, C], what training minimises the mean of; anything where the target is NaN."""

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

    def check(self, location_BC: Tensor, scale_BC: Tensor, targets_BNC: Tensor) -> None:  # noqa: B027  most take any
        """UserError for data, in units of location + scale x, of which the distribution can say nothing."""


def located(parameters: Parameters, index: int) -> tuple[Tensor, Tensor]:
    """A raw number as a value [B, N, C], and the scale [B, 1, C], in single precision at least."""
    dtype = torch.promote_types(parameters.raw.dtype, torch.float32)
    scale_B1C = parameters.scale[:, None].to(dtype)
    return parameters.location[:, None] + scale_B1C * parameters.raw[..., index].to(dtype), scale_B1C
