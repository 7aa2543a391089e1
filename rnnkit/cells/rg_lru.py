"""The real-gated linear recurrent unit of Griffin (De et al., 2024, arXiv:2402.19427)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from rnnkit.cells.linear import LinearCell
from rnnkit.precision import at_least_single


class RGLRUCell(LinearCell):
    r"""One step of an RG-LRU.

    .. math::
        r_t &= \sigma(W_r x_t + b_r), \quad i_t = \sigma(W_i x_t + b_i) \\
        a_t &= \exp(-c \, \mathrm{softplus}(\Lambda) \odot r_t), \quad c = 8 \\
        h_t &= a_t \odot h_{t-1} + \sqrt{1 - a_t^2} \odot (i_t \odot x_t)

    :math:`\Lambda` is initialized so that :math:`a` at an open gate is uniform in (0.9, 0.999). If the input is not as
    wide as the state, `input_map` projects it to that width. The output is the new state. `gates.weight` is [2H, H], in
    the order r, i.

    In half precision, :math:`a` near 1 would be rounded to 1. Therefore state and coefficients are at least float32,
    and only the output has the precision of the weights.

    >>> cell = RGLRUCell(input_size=3, hidden_size=5)
    >>> h_BH, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> h_BH.shape
    torch.Size([2, 5])
    """

    gate_names = ("recurrence", "input")

    C = 8.0

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.input_map = nn.Identity() if input_size == hidden_size else nn.Linear(input_size, hidden_size)
        self.gates = nn.Linear(hidden_size, 2 * hidden_size)
        open_H = torch.empty(hidden_size).uniform_(0.9, 0.999)
        self.Lambda = nn.Parameter(torch.log(torch.expm1(-torch.log(open_H) / self.C)))

    def initial_state(self, batch_size: int) -> Tensor:
        """Return zeros [B, H], float32 or float64."""
        return at_least_single(self.Lambda).new_zeros(batch_size, self.hidden_size)

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return `a` and `sqrt(1 - a^2) i x`."""
        u = self.input_map(x)
        r, i = torch.sigmoid(at_least_single(self.gates(u))).chunk(2, dim=-1)
        log_a = -self.C * softplus(at_least_single(self.Lambda)) * r
        # 1 - a^2 without cancellation; the square root has no derivative at 0, which a fully closed gate reaches
        gained = -torch.expm1(2 * log_a)
        return torch.exp(log_a), torch.sqrt(gained.clamp(min=torch.finfo(gained.dtype).tiny)) * (i * u)

    def readout(self, h: Tensor, x: Tensor) -> Tensor:
        """Return the state in the precision of the input."""
        return h.to(x.dtype)
