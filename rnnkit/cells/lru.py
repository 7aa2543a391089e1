"""The linear recurrent unit (Orvieto et al., 2023, arXiv:2303.06349)."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rnnkit.cells.linear import LinearCell
from rnnkit.errors import UserError
from rnnkit.precision import at_least_single
from rnnkit.ranges import Angle, Fraction, Level


class LRUCell(LinearCell):
    r"""One step of an LRU: a complex diagonal recurrence that is stable by construction.

    .. math::
        \lambda &= \exp(-e^{\nu} + i e^{\theta}) \\
        h_t &= \lambda \odot h_{t-1} + e^{\gamma} \odot B x_t \\
        y_t &= \mathrm{Re}(C h_t) + D x_t

    The eigenvalues are initialized uniformly on the ring between the radii `r_min` and `r_max`, with phases in
    [0, `max_phase`), and :math:`e^\gamma = \sqrt{1 - |\lambda|^2}`, so that a long memory does not make the state
    large.

    All parameters are real: `nu`, `theta` and `gamma` [H], `weight_in` [H, 2, I] for the real and imaginary rows of B,
    `weight_out` [H, H, 2] for C, `skip` [H, I] for D. The state is complex, [B, H]: complex128 if the weights are
    float64, else complex64, since half precision would round eigenvalues near 1 to 1.

    Raises:
        UserError: if a size is below 1, not 0 <= `r_min` < `r_max` < 1, or `max_phase` is not positive.

    >>> cell = LRUCell(input_size=3, hidden_size=5)
    >>> y_BH, h_BH = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> y_BH.dtype, h_BH.dtype
    (torch.float32, torch.complex64)
    """

    def __init__(
        self, input_size: int, hidden_size: int, r_min: Fraction = 0.0, r_max: Level = 0.99, max_phase: Angle = math.tau
    ) -> None:
        super().__init__(input_size, hidden_size)
        if not 0 <= r_min < r_max < 1:
            raise UserError("r_min", "0 <= r_min < r_max < 1", f"{r_min} and {r_max}", fix="model.cell.r_max=0.99")
        if max_phase <= 0:
            raise UserError("max_phase", "an angle above 0", str(max_phase), fix="model.cell.max_phase=0.314")
        # uniform in area on the ring: the squared radius is uniform; half precision would round it to the unit circle
        radius_H, phase_H = torch.rand(2, hidden_size, dtype=torch.float64).clamp(min=1e-6)
        squared_H = r_min**2 + (r_max**2 - r_min**2) * radius_H
        dtype = torch.get_default_dtype()
        self.nu = nn.Parameter(torch.log(-0.5 * torch.log(squared_H)).to(dtype))
        self.theta = nn.Parameter(torch.log(max_phase * phase_H).to(dtype))
        self.gamma = nn.Parameter(0.5 * torch.log1p(-squared_H).to(dtype))
        self.weight_in = nn.Parameter(torch.randn(hidden_size, 2, input_size) / math.sqrt(2 * input_size))
        self.weight_out = nn.Parameter(torch.randn(hidden_size, hidden_size, 2) / math.sqrt(hidden_size))
        self.skip = nn.Parameter(torch.randn(hidden_size, input_size) / math.sqrt(input_size))

    def initial_state(self, batch_size: int) -> Tensor:
        """Return complex zeros [B, H]."""
        return torch.view_as_complex(at_least_single(self.nu).new_zeros(batch_size, self.hidden_size, 2))

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the eigenvalues [H] and the normalized B x."""
        lambda_H = torch.polar(torch.exp(-torch.exp(at_least_single(self.nu))), torch.exp(at_least_single(self.theta)))
        weight_2HI = (torch.exp(self.gamma)[:, None, None] * self.weight_in).flatten(0, 1)
        parts = linear(x, weight_2HI).unflatten(-1, (self.hidden_size, 2))
        return lambda_H, torch.view_as_complex(at_least_single(parts))

    def readout(self, h: Tensor, x: Tensor) -> Tensor:
        """Return `Re(C h) + D x`."""
        # the real part of a complex product is a real product with C conjugated; the sign is moved to the weights
        parts = torch.view_as_real(h).flatten(-2).to(self.weight_out.dtype)
        return linear(parts, self.weight_out.flatten(1)) + linear(x, self.skip)
