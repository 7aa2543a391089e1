"""Scaling of each window of a series by its own location and scale."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from rnnkit.errors import UserError

WindowScalingKind = Literal["none", "mean", "standard", "robust", "reversible", "last"]
WINDOW_SCALINGS: tuple[str, ...] = get_args(WindowScalingKind)


class WindowScaling(nn.Module):
    r"""The location and scale of each channel of a window, computed from its known values.

    .. math::
        z = \frac{x - m}{s}, \qquad x = m + s z

    ============  ==============================  =====================================================
    kind          m                               s
    ============  ==============================  =====================================================
    none          0                               1
    mean          0                               mean of :math:`|x|` (Salinas et al. 2020, arXiv:1704.04110)
    standard      mean                            standard deviation
    robust        median                          distance of the quartiles
    reversible    :math:`\mu - \beta s`           :math:`\sigma / \gamma`, with a learned :math:`\gamma > 0` and
                                                  :math:`\beta` for each channel (Kim et al. 2022, RevIN)
    last          last known value                1 (Zeng et al. 2023, arXiv:2205.13504)
    ============  ==============================  =====================================================

    RevIN's :math:`\gamma (x - \mu) / \sigma + \beta` and its inverse are expressed by one location and one scale, so
    that distributions can be transformed like numbers. In a constant window, whose scale is below a millionth of the
    location, the scale is 1. In a window without known values, the location is 0 and the scale 1. Both have the dtype
    of the window: float64 for windows whose level is far above their spread.

    Without a kind, it is standard.

    Axes: B windows, T time steps, C channels.

    Raises:
        UserError: if the kind is unknown.

    >>> location_BC, scale_BC = WindowScaling("standard", channels=1)(torch.tensor([[[1.0], [3.0], [torch.nan]]]))
    >>> location_BC.item(), scale_BC.item()
    (2.0, 1.0)
    """

    def __init__(self, kind: str | None, channels: int) -> None:
        super().__init__()
        kind = "standard" if kind is None else kind
        if kind not in WINDOW_SCALINGS:
            expected = f"one of {', '.join(WINDOW_SCALINGS)}"
            raise UserError("model.scaling", expected, repr(kind), fix="model.scaling=mean")
        self.kind = kind
        if kind == "reversible":
            self.log_gamma = nn.Parameter(torch.zeros(channels))
            self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x_BTC: Tensor) -> tuple[Tensor, Tensor]:
        """Return location and scale [B, C] of windows [B, T, C], in which NaN is missing or padding."""
        dtype = x_BTC.dtype if x_BTC.is_floating_point() else torch.get_default_dtype()
        x_BTC = x_BTC.to(torch.promote_types(dtype, torch.float32))  # a sum could overflow in float16
        known_BTC = ~x_BTC.isnan()
        count_BC = known_BTC.sum(1)
        any_BC = count_BC > 0
        location_BC, scale_BC = self._of_known(x_BTC, known_BTC, count_BC.clamp(min=1))
        location_BC = location_BC.masked_fill(~any_BC, 0)
        # constant up to rounding: dividing by the scale would amplify rounding errors
        constant_BC = ~(scale_BC > 1e-6 * location_BC.abs())
        scale_BC = scale_BC.masked_fill(constant_BC | ~any_BC, 1)
        if self.kind == "reversible":
            scale_BC = scale_BC * torch.exp(-self.log_gamma)
            location_BC = location_BC - self.beta * scale_BC
        return location_BC.to(dtype), scale_BC.to(dtype)

    def extra_repr(self) -> str:
        """Return the kind, for `print(module)`."""
        return self.kind

    def _of_known(self, x_BTC: Tensor, known_BTC: Tensor, count_BC: Tensor) -> tuple[Tensor, Tensor]:
        if self.kind == "robust":
            low_BC, middle_BC, high_BC = _quartiles(x_BTC, known_BTC, count_BC)
            return middle_BC, high_BC - low_BC
        filled_BTC = x_BTC.masked_fill(~known_BTC, 0)
        zero_BC, one_BC = torch.zeros_like(filled_BTC[:, 0]), torch.ones_like(filled_BTC[:, 0])
        if self.kind == "none":
            return zero_BC, one_BC
        if self.kind == "mean":
            return zero_BC, filled_BTC.abs().sum(1) / count_BC
        if self.kind == "last":
            # the first maximum of 1, 2, ... at known steps is the last of these
            steps_T11 = torch.arange(1, x_BTC.shape[1] + 1, device=x_BTC.device)[:, None]
            last_B1C = (known_BTC * steps_T11).argmax(1, keepdim=True)
            return filled_BTC.gather(1, last_B1C)[:, 0], one_BC
        mean_BC = filled_BTC.sum(1) / count_BC
        apart_BTC = (filled_BTC - mean_BC[:, None]).masked_fill(~known_BTC, 0)
        # squares of values near 1 neither overflow nor underflow; a factor of a power of two causes no rounding
        unit_BC = _power_of_two(apart_BTC)
        variance_BC = (apart_BTC / unit_BC[:, None]).square().sum(1) / count_BC
        # the square root has no gradient at zero; autograd would multiply zero by infinity
        none_BC = variance_BC == 0
        return mean_BC, unit_BC * variance_BC.masked_fill(none_BC, 1).sqrt().masked_fill(none_BC, 0)


def scaled(x_BTC: Tensor, location_BC: Tensor, scale_BC: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return (x - location) / scale, and 0 where x is missing, computed in the dtype of x and then cast to `dtype`."""
    z_BTC = (x_BTC - location_BC[:, None]) / scale_BC[:, None]
    return z_BTC.masked_fill(x_BTC.isnan(), 0).to(dtype or x_BTC.dtype)


def _power_of_two(x_BTC: Tensor) -> Tensor:
    """Return the power of two [B, C] that scales the largest value of a window to [1/2, 1]; no gradient."""
    largest_BC = x_BTC.detach().abs().amax(1)
    limit = 1000 if x_BTC.dtype == torch.float64 else 120
    return torch.ldexp(torch.ones_like(largest_BC), largest_BC.frexp().exponent.clamp(-limit, limit))


def _quartiles(x_BTC: Tensor, known_BTC: Tensor, count_BC: Tensor) -> list[Tensor]:
    """Return the quartiles, like `torch.nanquantile` with linear interpolation, but faster and for any size."""
    sorted_BTC = x_BTC.masked_fill(~known_BTC, torch.inf).sort(1).values
    found = []
    for level in (0.25, 0.5, 0.75):
        place_BC = level * (count_BC - 1)
        low_BC = place_BC.floor().long()
        high_BC = torch.minimum(low_BC + 1, count_BC - 1)
        a_BC = sorted_BTC.gather(1, low_BC[:, None])[:, 0]
        b_BC = sorted_BTC.gather(1, high_BC[:, None])[:, 0]
        found.append(a_BC + (place_BC - low_BC) * (b_BC - a_BC))
    return found


def window_features(location_BC: Tensor, scale_BC: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return [B, 2 C], location and scale as small numbers for a network to read, cast to `dtype`."""
    features = torch.cat([location_BC.sign() * location_BC.abs().log1p(), scale_BC.log()], -1)
    return features.to(dtype or location_BC.dtype)
