"""The gated recurrent unit (Cho et al., 2014, arXiv:1406.1078)."""

import torch
from torch import Tensor
from torch.nn.functional import linear

from rnnkit.cells.gated import GatedCell


class GRUCell(GatedCell[Tensor]):
    r"""One step of a GRU.

    .. math::
        r_t &= \sigma(W_{ir} x_t + b_{ir} + W_{hr} h_{t-1} + b_{hr}) \\
        z_t &= \sigma(W_{iz} x_t + b_{iz} + W_{hz} h_{t-1} + b_{hz}) \\
        n_t &= \tanh(W_{in} x_t + b_{in} + r_t \odot (W_{hn} h_{t-1} + b_{hn})) \\
        h_t &= (1 - z_t) \odot n_t + z_t \odot h_{t-1}

    This is the form of torch and cuDNN, in which the reset gate acts after the recurrent product. With
    `reset_after=False` it acts before, as in the paper:
    :math:`n_t = \tanh(W_{in} x_t + b_{in} + W_{hn} (r_t \odot h_{t-1}) + b_{hn})`; no vendor kernel computes that form.
    The output is the new state. Parameters are named, shaped and ordered (r, z, n) as in `torch.nn.GRUCell`:
    `weight_ih` [3H, I], `weight_hh` [3H, H], biases [3H].

    Raises:
        UserError: if a size is below 1.

    >>> cell = GRUCell(input_size=3, hidden_size=5)
    >>> h_BH, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> h_BH.shape
    torch.Size([2, 5])
    """

    gate_names = ("reset", "update")

    def __init__(self, input_size: int, hidden_size: int, reset_after: bool = True, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, gates=3, bias=bias)
        self.reset_after = reset_after

    def initial_state(self, batch_size: int) -> Tensor:
        """Return zeros [B, H]."""
        return self.weight_hh.new_zeros(batch_size, self.hidden_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run one step on x [B, I] and the state [B, H]; output and new state are the same."""
        xr_BH, xz_BH, xn_BH = linear(x_BI, self.weight_ih, self.bias_ih).chunk(3, dim=-1)
        if self.reset_after:
            hr_BH, hz_BH, hn_BH = linear(state, self.weight_hh, self.bias_hh).chunk(3, dim=-1)
            reset_hn_BH = torch.sigmoid(xr_BH + hr_BH) * hn_BH
        else:
            gates = 2 * self.hidden_size
            weight_n, bias_n = self.weight_hh[gates:], None if self.bias_hh is None else self.bias_hh[gates:]
            weight_rz, bias_rz = self.weight_hh[:gates], None if self.bias_hh is None else self.bias_hh[:gates]
            hr_BH, hz_BH = linear(state, weight_rz, bias_rz).chunk(2, dim=-1)
            reset_hn_BH = linear(torch.sigmoid(xr_BH + hr_BH) * state, weight_n, bias_n)
        z_BH = torch.sigmoid(xz_BH + hz_BH)
        h_BH = (1 - z_BH) * torch.tanh(xn_BH + reset_hn_BH) + z_BH * state
        return h_BH, h_BH
