"""The scalar LSTM of xLSTM (Beck et al., 2024, arXiv:2405.04517): exponential gates, a normalizer, a stabilizer."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, logsigmoid

from rnnkit.cells.blocks import BlockCell
from rnnkit.errors import UserError
from rnnkit.ranges import PositiveInt

ForgetGate = Literal["sigmoid", "exp"]
NOTHING = -32768.0
"""The stabilizer before the first step: the logarithm of a weight of zero, finite in every floating dtype."""


class SLSTMState(NamedTuple):
    """`hidden`, the output; `cell` and `normalizer`, both in units of exp(`stabilizer`): [B, H] each."""

    hidden: Tensor
    cell: Tensor
    normalizer: Tensor
    stabilizer: Tensor


class SLSTMCell(BlockCell[SLSTMState]):
    r"""One step of an sLSTM: its cell state is a weighted mean of its inputs, with weights that may grow without bound.

    .. math::
        (i, f, z, o)_t &= W_{ih} x_t + W_{hh} h_{t-1} + b \\
        m_t &= \max(\log f'_t + m_{t-1}, i_t) \quad \text{with } f'_t = \sigma(f_t) \text{ or } \exp(f_t) \\
        c_t &= e^{\log f'_t + m_{t-1} - m_t} \odot c_{t-1} + e^{i_t - m_t} \odot \tanh(z_t) \\
        n_t &= e^{\log f'_t + m_{t-1} - m_t} \odot n_{t-1} + e^{i_t - m_t} \\
        h_t &= \sigma(o_t) \odot c_t / n_t

    `weight_ih` [4H, I], `weight_hh` [4H, H / num_heads] and `bias` [4H] are ordered (i, f, z, o), and by head within a
    gate; a head reads only its own part of h. The biases of sigmoid forget gates are initialized from 5 to -7, as by
    the authors.

    Raises:
        UserError: if a size is below 1, `num_heads` does not divide `hidden_size`, or the forget gate is unknown.

    >>> cell = SLSTMCell(input_size=3, hidden_size=6, num_heads=2)
    >>> cell(torch.zeros(2, 3), cell.initial_state(2))[0].shape
    torch.Size([2, 6])
    """

    gate_names = ("output",)

    def __init__(
        self, input_size: int, hidden_size: int, num_heads: PositiveInt = 1, forget_gate: ForgetGate = "sigmoid"
    ) -> None:
        if num_heads < 1 or hidden_size % num_heads:
            raise UserError("num_heads", f"a divisor of {hidden_size}", str(num_heads), fix="model.cell.num_heads=1")
        if forget_gate not in ("sigmoid", "exp"):
            raise UserError("forget_gate", "sigmoid or exp", repr(forget_gate), fix="model.cell.forget_gate=sigmoid")
        width = hidden_size // num_heads
        super().__init__(input_size, hidden_size, input_blocks=4, recurrent_blocks=4, recurrent_width=width)
        self.num_heads, self.forget_gate = num_heads, forget_gate
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        if forget_gate == "sigmoid":
            self.bias.detach()[hidden_size : 2 * hidden_size] = torch.linspace(5, -7, width).repeat(num_heads)

    def initial_state(self, batch_size: int) -> SLSTMState:
        """Return the empty state, [B, H] each: whatever the gates, the first step gives h = sigmoid(o) tanh(z)."""
        h_BH, c_BH, n_BH = (self.zeros(batch_size) for _ in range(3))
        return SLSTMState(h_BH, c_BH, n_BH, stabilizer=h_BH + NOTHING)

    def forward(self, x_BI: Tensor, state: SLSTMState) -> tuple[Tensor, SLSTMState]:
        """Run one step on x [B, I] and the state; return the output [B, H] and the new state."""
        i_BH, f_BH, z_BH, o_BH = (linear(x_BI, self.weight_ih, self.bias) + self._recur(state.hidden)).chunk(4, dim=-1)
        kept_BH = (logsigmoid(f_BH) if self.forget_gate == "sigmoid" else f_BH) + state.stabilizer
        m_BH = torch.maximum(kept_BH, i_BH)
        keep_BH, write_BH = torch.exp(kept_BH - m_BH), torch.exp(i_BH - m_BH)
        c_BH = keep_BH * state.cell + write_BH * torch.tanh(z_BH)
        n_BH = keep_BH * state.normalizer + write_BH
        h_BH = torch.sigmoid(o_BH) * c_BH / n_BH
        return h_BH, SLSTMState(hidden=h_BH, cell=c_BH, normalizer=n_BH, stabilizer=m_BH)

    def _recur(self, h_BH: Tensor) -> Tensor:
        if self.num_heads == 1:
            return linear(h_BH, self.weight_hh)
        weight_GNWV = self.weight_hh.unflatten(0, (4, self.num_heads, -1))
        return torch.einsum("bnv,gnwv->bgnw", h_BH.unflatten(1, (self.num_heads, -1)), weight_GNWV).flatten(1)
