"""LSTM and GRU with layer normalization (Ba et al., 2016, arXiv:1607.06450)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rnnkit.cells.blocks import BlockCell
from rnnkit.cells.lstm import LSTMState


class LayerNormLSTMCell(BlockCell[LSTMState]):
    r"""One step of an LSTM with layer normalization of both projections and of the cell state (equations 20 to 22).

    .. math::
        (i, f, g, o)_t &= \mathrm{LN}_{ih}(W_{ih} x_t) + \mathrm{LN}_{hh}(W_{hh} h_{t-1}) \\
        c_t &= \sigma(f_t) \odot c_{t-1} + \sigma(i_t) \odot \tanh(g_t) \\
        h_t &= \sigma(o_t) \odot \tanh(\mathrm{LN}_c(c_t))

    Each LN is over all its features (4H, 4H, H), with a gain. The gates have one bias, that of `norm_ih`, whose part
    for the forget gate is initialized to `forget_bias`.

    Raises:
        UserError: if a size is below 1.

    >>> cell = LayerNormLSTMCell(input_size=3, hidden_size=5)
    >>> h_BH, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> h_BH.shape, state.cell.shape
    (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    gate_names = ("forget", "input", "output")

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size, input_blocks=4, recurrent_blocks=4)
        self.norm_ih = nn.LayerNorm(4 * hidden_size)
        self.norm_hh = nn.LayerNorm(4 * hidden_size, bias=False)
        self.norm_c = nn.LayerNorm(hidden_size)
        nn.init.constant_(self.norm_ih.bias[hidden_size : 2 * hidden_size], forget_bias)

    def initial_state(self, batch_size: int) -> LSTMState:
        """Return zeros, [B, H] each."""
        return LSTMState(hidden=self.zeros(batch_size), cell=self.zeros(batch_size))

    def forward(self, x_BI: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Run one step on x [B, I] and the state; return the output [B, H] and the new state."""
        gates_B4H = self.norm_ih(linear(x_BI, self.weight_ih)) + self.norm_hh(linear(state.hidden, self.weight_hh))
        i_BH, f_BH, g_BH, o_BH = gates_B4H.chunk(4, dim=-1)
        c_BH = torch.sigmoid(f_BH) * state.cell + torch.sigmoid(i_BH) * torch.tanh(g_BH)
        h_BH = torch.sigmoid(o_BH) * torch.tanh(self.norm_c(c_BH))
        return h_BH, LSTMState(hidden=h_BH, cell=c_BH)


class LayerNormGRUCell(BlockCell[Tensor]):
    r"""One step of a GRU with layer normalization, separately for the gates and the candidate (equations 23 to 25).

    .. math::
        (r, z)_t &= \mathrm{LN}(W_{rz} x_t) + \mathrm{LN}(U_{rz} h_{t-1}) \\
        n_t &= \tanh(\mathrm{LN}(W_n x_t) + \sigma(r_t) \odot \mathrm{LN}(U_n h_{t-1})) \\
        h_t &= (1 - \sigma(z_t)) \odot n_t + \sigma(z_t) \odot h_{t-1}

    Blocks are ordered (r, z, n), and z keeps the state, both as in `GRUCell`.

    Raises:
        UserError: if a size is below 1.

    >>> cell = LayerNormGRUCell(input_size=3, hidden_size=5)
    >>> cell(torch.zeros(2, 3), cell.initial_state(2))[0].shape
    torch.Size([2, 5])
    """

    gate_names = ("reset", "update")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, input_blocks=3, recurrent_blocks=3)
        self.norm_ih_rz, self.norm_ih_n = nn.LayerNorm(2 * hidden_size), nn.LayerNorm(hidden_size)
        self.norm_hh_rz, self.norm_hh_n = nn.LayerNorm(2 * hidden_size, bias=False), nn.LayerNorm(hidden_size)

    def initial_state(self, batch_size: int) -> Tensor:
        """Return zeros [B, H]."""
        return self.zeros(batch_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run one step on x [B, I] and the state [B, H]; output and new state are the same."""
        sizes = [2 * self.hidden_size, self.hidden_size]
        xrz_B2H, xn_BH = linear(x_BI, self.weight_ih).split(sizes, dim=-1)
        hrz_B2H, hn_BH = linear(state, self.weight_hh).split(sizes, dim=-1)
        r_BH, z_BH = torch.sigmoid(self.norm_ih_rz(xrz_B2H) + self.norm_hh_rz(hrz_B2H)).chunk(2, dim=-1)
        n_BH = torch.tanh(self.norm_ih_n(xn_BH) + r_BH * self.norm_hh_n(hn_BH))
        h_BH = (1 - z_BH) * n_BH + z_BH * state
        return h_BH, h_BH
