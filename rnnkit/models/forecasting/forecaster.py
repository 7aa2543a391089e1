"""What all forecasters have in common."""

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from rnnkit.batch import ForecastInputs
from rnnkit.errors import UserError
from rnnkit.layers.window_scaling import WindowScaling
from rnnkit.masks import Lengths


class Parameters(NamedTuple):
    """What a model says of N steps: raw numbers, of which an output makes a distribution.

    * `raw`: [B, N, C, P], P numbers of any size for each step and channel, on the scale of the window.
    * `location`, `scale`: [B, C], in the dtype of the batch; a value x of the batch and a value z on the scale of the
      window are x = location + scale z.
    """

    raw: Tensor
    location: Tensor
    scale: Tensor

    def moved(self, location_BC: Tensor, scale_BC: Tensor) -> "Parameters":
        """The same said of location + scale x instead of x."""
        return Parameters(self.raw, location_BC + scale_BC * self.location, scale_BC * self.scale)


class Output(Protocol):
    """What a model must know of the distribution that its raw numbers are for."""

    @property
    def size(self) -> int:
        """P, the raw numbers for each step and channel."""

    @property
    def moving(self) -> int:
        """How many of them, the first ones, are values: these move when the forecast moves."""

    @property
    def scalings(self) -> tuple[str, ...]:
        """The kinds of window scaling that the distribution can go through."""

    def sample(self, parameters: Parameters, samples: int, generator: torch.Generator | None = None) -> Tensor:
        """[samples, B, N, C] in the units of the batch."""


class Forecaster(nn.Module, ABC):
    """Maps windows of `channels` channels to the parameters of the next `horizon` steps.

    Args:
        output: what the parameters are for.
        channels, horizon: C, H.
        scaling: how each window is scaled, see `rnnkit.layers.WindowScaling`.

    Raises UserError for sizes below 1, and a scaling that does not go with the output.
    """

    tasks = ("forecasting",)

    def __init__(self, output: Output, channels: int, horizon: int, scaling: str) -> None:
        super().__init__()
        for name, size in (("channels", channels), ("horizon", horizon)):
            if size < 1:
                raise UserError(f"data.{name}", "1 or more", str(size), fix=f"data.{name}=1")
        self.output = output
        self.channels, self.horizon = channels, horizon
        self.scaling = WindowScaling(scaling, channels)
        if scaling not in output.scalings:
            expected = f"one of {', '.join(output.scalings)}, with output {type(output).__name__}"
            raise UserError("model.scaling", expected, repr(scaling), fix=f"model.scaling={output.scalings[-1]}")

    @abstractmethod
    def forward(self, inputs: ForecastInputs, *, lengths: Lengths | None = None) -> Parameters:
        """Parameters for the horizon, [B, H, C, P], from the past alone."""

    def teach(
        self, inputs: ForecastInputs, targets: Tensor, *, lengths: Lengths | None = None
    ) -> tuple[Parameters, Tensor]:
        """The parameters that training compares with values [B, N, C], and these values: those of the horizon."""
        return self(inputs, lengths=lengths), targets


def check_sizes(**sizes: int) -> None:
    """UserError for a size of the model's below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise UserError(f"model.{name}", "1 or more", str(size), fix=f"model.{name}=64")
