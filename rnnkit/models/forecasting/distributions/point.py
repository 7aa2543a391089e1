"""Point forecasts: one value for each step, without uncertainty."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from rnnkit.errors import UserError
from rnnkit.models.forecasting.distributions.output import Output, located, raw, scale_of, standardized
from rnnkit.models.forecasting.parameters import Parameters

ERRORS: dict[str, Callable[..., Tensor]] = {"mse": F.mse_loss, "mae": F.l1_loss, "huber": F.huber_loss}


class Point(Output):
    r"""A value, trained by its squared error, absolute error or Huber loss (1964; squared up to one unit).

    .. math::
        (\hat x - x)^2, \qquad |\hat x - x|, \qquad
        \tfrac{1}{2} d^2 \;\text{for}\; d = |\hat x - x| \le 1, \; d - \tfrac{1}{2} \;\text{else}

    It has neither quantiles nor intervals. Its continuous ranked probability score is the absolute error.

    Raises:
        UserError: if the error is unknown.

    >>> output = Point("mae")
    >>> parameters = Parameters(torch.zeros(1, 2, 1, 1), location=torch.ones(1, 1), scale=torch.ones(1, 1))
    >>> output.loss(parameters, torch.tensor([[[3.0], [1.0]]])).flatten().tolist()
    [2.0, 0.0]
    """

    size = 1
    samples = 1

    def __init__(self, error: Literal["mse", "mae", "huber"] = "mse") -> None:
        if error not in ERRORS:
            raise UserError("output.error", f"one of {', '.join(ERRORS)}", repr(error), fix="output.error=mae")
        self.error = error

    def loss(self, parameters: Parameters, targets_BNC: Tensor) -> Tensor:
        difference_BNC = scale_of(parameters) * (raw(parameters, 0) - standardized(parameters, targets_BNC))
        return ERRORS[self.error](difference_BNC, torch.zeros_like(difference_BNC), reduction="none")

    def mean(self, parameters: Parameters) -> Tensor:
        return located(parameters, raw(parameters, 0))

    def sample(self, parameters: Parameters, samples: int, generator: torch.Generator | None = None) -> Tensor:
        return self.mean(parameters).expand(samples, -1, -1, -1)

    def provides(self, levels: Sequence[float]) -> bool:
        return False
