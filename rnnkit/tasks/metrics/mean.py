"""The mean of a quantity over all batches and processes."""

import torch
from torch import Tensor
from torchmetrics import Metric

from rnnkit.precision import widened


class Mean(Metric):
    """The weighted mean of values, summed in float64 if the device supports it.

    A NaN value makes the mean NaN unless its weight is 0. Without any weight the mean is NaN.

    >>> mean = Mean()
    >>> mean.update(torch.tensor(2.0), 3)
    >>> mean.update(torch.tensor(6.0), 1)
    >>> float(mean.compute())
    3.0
    """

    full_state_update = False
    total: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        # float32 until the first update: Apple's GPUs have no float64
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("weight", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, value: Tensor, weight: Tensor | float) -> None:
        """Adds a value with a weight."""
        value = widened(value.detach())
        weight = widened(torch.as_tensor(weight, device=value.device))
        self.total = self.total + torch.where(weight > 0, value * weight, 0.0)
        self.weight = self.weight + weight

    def compute(self) -> Tensor:
        """Returns the mean."""
        return self.total / self.weight
