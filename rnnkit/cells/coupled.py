"""The LSTM with coupled input and forget gates (Greff et al., 2017, arXiv:1503.04069)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rnnkit.cells.blocks import BlockCell
from rnnkit.cells.lstm import LSTMState


class CoupledLSTMCell(BlockCell[LSTMState]):
    r"""One step of an LSTM with coupled input and forget gates, with three quarters of the parameters of an LSTM.

    .. math::
        (f, g, o)_t &= W_{ih} x_t + W_{hh} h_{t-1} + b \\
        c_t &= \sigma(f_t) \odot c_{t-1} + (1 - \sigma(f_t)) \odot \tanh(g_t) \\
        h_t &= \sigma(o_t) \odot \tanh(c_t)

    So the cell state is a weighted mean of its inputs and stays in (-1, 1). `weight_ih` [3H, I], `weight_hh` [3H, H]
    and `bias` [3H] are ordered (f, g, o); the forget gate's bias is initialized to `forget_bias`.

    Raises:
        UserError: if a size is below 1.

    >>> cell = CoupledLSTMCell(input_size=3, hidden_size=5)
    >>> h_BH, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> h_BH.shape, state.cell.shape
    (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    gate_names = ("forget", "output")

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size, input_blocks=3, recurrent_blocks=3)
        self.bias = nn.Parameter(torch.zeros(3 * hidden_size))
        nn.init.constant_(self.bias[:hidden_size], forget_bias)

    def initial_state(self, batch_size: int) -> LSTMState:
        """Return zeros, [B, H] each."""
        return LSTMState(hidden=self.zeros(batch_size), cell=self.zeros(batch_size))

    def forward(self, x_BI: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Run one step on x [B, I] and the state; return the output [B, H] and the new state."""
        gates_B3H = linear(x_BI, self.weight_ih, self.bias) + linear(state.hidden, self.weight_hh)
        f_BH, g_BH, o_BH = gates_B3H.chunk(3, dim=-1)
        keep_BH = torch.sigmoid(f_BH)
        c_BH = keep_BH * state.cell + (1 - keep_BH) * torch.tanh(g_BH)
        h_BH = torch.sigmoid(o_BH) * torch.tanh(c_BH)
        return h_BH, LSTMState(hidden=h_BH, cell=c_BH)
