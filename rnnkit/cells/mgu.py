"""The minimal gated unit (Zhou et al., 2016, arXiv:1603.09420)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rnnkit.cells.blocks import BlockCell


class MGUCell(BlockCell[Tensor]):
    r"""One step of a minimal gated unit: a GRU with a single gate.

    .. math::
        f_t &= \sigma(W_f x_t + U_f h_{t-1} + b_f) \\
        n_t &= \tanh(W_n x_t + U_n (f_t \odot h_{t-1}) + b_n) \\
        h_t &= (1 - f_t) \odot h_{t-1} + f_t \odot n_t

    The output is the new state. `weight_ih` [2H, I], `weight_hh` [2H, H] and `bias` [2H] are ordered (f, n).

    Raises:
        UserError: if a size is below 1.

    >>> cell = MGUCell(input_size=3, hidden_size=5)
    >>> h_BH, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> h_BH.shape
    torch.Size([2, 5])
    """

    gate_names = ("forget",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, input_blocks=2, recurrent_blocks=2)
        self.bias = nn.Parameter(torch.zeros(2 * hidden_size))

    def initial_state(self, batch_size: int) -> Tensor:
        """Return zeros [B, H]."""
        return self.zeros(batch_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run one step on x [B, I] and the state [B, H]; output and new state are the same."""
        xf_BH, xn_BH = linear(x_BI, self.weight_ih, self.bias).chunk(2, dim=-1)
        weight_f_HH, weight_n_HH = self.weight_hh.chunk(2)
        f_BH = torch.sigmoid(xf_BH + linear(state, weight_f_HH))
        n_BH = torch.tanh(xn_BH + linear(f_BH * state, weight_n_HH))
        h_BH = (1 - f_BH) * state + f_BH * n_BH
        return h_BH, h_BH
