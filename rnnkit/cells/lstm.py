"""Long short-term memory (Hochreiter and Schmidhuber, 1997), with the forget gate of Gers et al. (2000)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rnnkit.cells.gated import GatedCell


class LSTMState(NamedTuple):
    """`hidden` [B, H], which is also the output, and `cell` [B, H], the cell state."""

    hidden: Tensor
    cell: Tensor


class LSTMCell(GatedCell[LSTMState]):
    r"""One step of an LSTM.

    .. math::
        (i, f, g, o)_t &= W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh} \\
        c_t &= \sigma(f_t) \odot c_{t-1} + \sigma(i_t) \odot \tanh(g_t) \\
        h_t &= \sigma(o_t) \odot \tanh(c_t)

    The forget gate's bias is initialized to `forget_bias`, all of it in `bias_ih`, so that an untrained network keeps
    its state (Jozefowicz et al., 2015). Parameters are named, shaped and ordered as in `torch.nn.LSTMCell`: `weight_ih`
    [4H, I], `weight_hh` [4H, H], biases [4H].

    Raises:
        UserError: if a size is below 1.

    >>> cell = LSTMCell(input_size=3, hidden_size=5)
    >>> h_BH, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> h_BH.shape, state.cell.shape
    (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    gate_names = ("forget", "input", "output")

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, gates=4, bias=bias)
        if self.bias_ih is not None:
            nn.init.constant_(self.bias_ih[hidden_size : 2 * hidden_size], forget_bias)

    def initial_state(self, batch_size: int) -> LSTMState:
        """Return zeros, [B, H] each."""
        shape = (batch_size, self.hidden_size)
        return LSTMState(hidden=self.weight_hh.new_zeros(shape), cell=self.weight_hh.new_zeros(shape))

    def forward(self, x_BI: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Run one step on x [B, I] and the state; return the output [B, H] and the new state."""
        gates_B4H = linear(x_BI, self.weight_ih, self.bias_ih) + linear(state.hidden, self.weight_hh, self.bias_hh)
        i_BH, f_BH, g_BH, o_BH = gates_B4H.chunk(4, dim=-1)
        c_BH = torch.sigmoid(f_BH) * state.cell + torch.sigmoid(i_BH) * torch.tanh(g_BH)
        h_BH = torch.sigmoid(o_BH) * torch.tanh(c_BH)
        return h_BH, LSTMState(hidden=h_BH, cell=c_BH)
