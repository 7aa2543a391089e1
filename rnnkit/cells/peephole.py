"""The LSTM with peephole connections (Gers and Schmidhuber, 2000, doi:10.1109/IJCNN.2000.861302)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rnnkit.cells.blocks import BlockCell
from rnnkit.cells.lstm import LSTMState


class PeepholeLSTMCell(BlockCell[LSTMState]):
    r"""One step of an LSTM with peephole connections.

    .. math::
        (i, f, g, o)_t &= W_{ih} x_t + W_{hh} h_{t-1} + b \\
        c_t &= \sigma(f_t + p_f \odot c_{t-1}) \odot c_{t-1} + \sigma(i_t + p_i \odot c_{t-1}) \odot \tanh(g_t) \\
        h_t &= \sigma(o_t + p_o \odot c_t) \odot \tanh(c_t)

    `weight_ih` [4H, I], `weight_hh` [4H, H] and `bias` [4H] are ordered (i, f, g, o); `weight_ch` [3H] has the
    peepholes (i, f, o). They are initialized to zero, and the forget gate's bias to `forget_bias`, as in an LSTM.

    Raises:
        UserError: if a size is below 1.

    >>> cell = PeepholeLSTMCell(input_size=3, hidden_size=5)
    >>> h_BH, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> h_BH.shape, state.cell.shape
    (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    gate_names = ("forget", "input", "output")

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size, input_blocks=4, recurrent_blocks=4)
        self.weight_ch = nn.Parameter(torch.zeros(3 * hidden_size))
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        nn.init.constant_(self.bias[hidden_size : 2 * hidden_size], forget_bias)

    def initial_state(self, batch_size: int) -> LSTMState:
        """Return zeros, [B, H] each."""
        return LSTMState(hidden=self.zeros(batch_size), cell=self.zeros(batch_size))

    def forward(self, x_BI: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Run one step on x [B, I] and the state; return the output [B, H] and the new state."""
        gates_B4H = linear(x_BI, self.weight_ih, self.bias) + linear(state.hidden, self.weight_hh)
        i_BH, f_BH, g_BH, o_BH = gates_B4H.chunk(4, dim=-1)
        p_i_H, p_f_H, p_o_H = self.weight_ch.chunk(3)
        keep_BH = torch.sigmoid(f_BH + p_f_H * state.cell)
        write_BH = torch.sigmoid(i_BH + p_i_H * state.cell)
        c_BH = keep_BH * state.cell + write_BH * torch.tanh(g_BH)
        h_BH = torch.sigmoid(o_BH + p_o_H * c_BH) * torch.tanh(c_BH)
        return h_BH, LSTMState(hidden=h_BH, cell=c_BH)
