"""Base class of forecasters."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rnnkit.batch import ForecastInputs
from rnnkit.errors import UserError
from rnnkit.layers.window_scaling import WINDOW_SCALINGS, WindowScaling
from rnnkit.masks import Lengths
from rnnkit.models.forecasting.distributions.output import Output
from rnnkit.models.forecasting.parameters import Parameters

CONTEXT = 96
"""The number of past steps of a model that is built before the data have chosen it."""


class Forecaster(nn.Module, ABC):
    """Maps windows of `channels` channels to the parameters of the next `horizon` steps.

    Args:
        output: the output that the parameters are for.
        channels, horizon: C, H.
        scaling: the scaling of each window: a kind of `rnnkit.layers.WindowScaling`, or a class of your own, called as
            `scaling(channels=C)`, that maps windows [B, T, C] to location and scale [B, C]. It needs a `kind` if the
            output supports some kinds only.

    Raises:
        UserError: if a size is below 1, or the output does not support the scaling.
    """

    tasks = ("forecasting",)

    def __init__(self, output: Output, channels: int, horizon: int, scaling: str | Callable[..., nn.Module]) -> None:
        super().__init__()
        for name, size in (("channels", channels), ("horizon", horizon)):
            if size < 1:
                raise UserError(f"data.{name}", "1 or more", str(size), fix=f"data.{name}=1")
        self.output = output
        self.channels, self.horizon = channels, horizon
        self.scaling: Any = WindowScaling(scaling, channels) if isinstance(scaling, str) else scaling(channels=channels)
        kind = getattr(self.scaling, "kind", type(self.scaling).__name__)
        if kind not in output.scalings and {*output.scalings} != {*WINDOW_SCALINGS}:
            expected = f"one of {', '.join(output.scalings)}, with output {type(output).__name__}"
            raise UserError("model.scaling", expected, repr(kind), fix=f"model.scaling={output.scalings[-1]}")

    @abstractmethod
    def forward(self, inputs: ForecastInputs, *, lengths: Lengths | None = None) -> Parameters:
        """Return the parameters of the horizon, [B, H, C, P], given the past."""

    def teacher_forced(
        self, inputs: ForecastInputs, targets: Tensor, *, lengths: Lengths | None = None
    ) -> tuple[Parameters, Tensor]:
        """Return the parameters for the training loss and the values [B, N, C] to compare them with, those of the
        horizon by default.
        """
        return self(inputs, lengths=lengths), targets

    def teacher_forced_horizon(
        self, inputs: ForecastInputs, targets: Tensor, *, lengths: Lengths | None = None
    ) -> tuple[Parameters, Tensor]:
        """Return the parameters for evaluation and the values of the horizon [B, H, C] to compare them with."""
        return self(inputs, lengths=lengths), targets

    def sample_paths(
        self,
        inputs: ForecastInputs,
        samples: int,
        *,
        lengths: Lengths | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor | None:
        """Return sample paths [S, B, H, C] in the units of the batch, for a model that samples step by step.

        None if the parameters are the whole forecast: mean and quantiles follow from them.
        """
        return None


def check_sizes(**sizes: int) -> None:
    """Raise UserError if a size is below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise UserError(f"model.{name}", "1 or more", str(size), fix=f"model.{name}=64")
