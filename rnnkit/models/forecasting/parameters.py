"""The parameters of a forecast, which models return and distributions read."""

from typing import NamedTuple

from torch import Tensor


class Parameters(NamedTuple):
    """The output of a model for N steps: raw parameters, from which an output makes a distribution.

    Args:
        raw: [B, N, C, P], P unbounded numbers for each step and channel, on the scale of the window.
        location, scale: [B, C], in the dtype of the batch; a value x of the batch and a value z on the scale of the
            window are related by x = location + scale z.
    """

    raw: Tensor
    location: Tensor
    scale: Tensor

    def rescaled(self, location_BC: Tensor, scale_BC: Tensor) -> "Parameters":
        """Return the parameters of location + scale x in place of x."""
        return Parameters(self.raw, location_BC + scale_BC * self.location, scale_BC * self.scale)
