"""Long expressive memory (Rusch et al., 2022, arXiv:2110.04744)."""

from typing import Annotated, NamedTuple

import torch
from annotated_types import Interval
from torch import Tensor, nn
from torch.nn.functional import linear

from rnnkit.cells.blocks import BlockCell
from rnnkit.errors import UserError


class LEMState(NamedTuple):
    """`hidden` [B, H], which is also the output (y in the paper), and `memory` [B, H] (z in the paper)."""

    hidden: Tensor
    memory: Tensor


class LEMCell(BlockCell[LEMState]):
    r"""One step of a system with two learned, input-dependent time scales for each unit.

    .. math::
        \Delta t_t &= \Delta t \, \sigma(W_1 y_{t-1} + V_1 x_t + b_1) \\
        \overline{\Delta t}_t &= \Delta t \, \sigma(W_2 y_{t-1} + V_2 x_t + b_2) \\
        z_t &= (1 - \Delta t_t) \odot z_{t-1} + \Delta t_t \odot \tanh(W_z y_{t-1} + V_z x_t + b_z) \\
        y_t &= (1 - \overline{\Delta t}_t) \odot y_{t-1} + \overline{\Delta t}_t \odot \tanh(W_y z_t + V_y x_t + b_y)

    `dt` is the largest time step; with at most 1, the states stay in (-1, 1). `weight_ih` [4H, I], `weight_hh` [4H, H]
    and `bias` [4H] are ordered (1, 2, z, y).

    Raises:
        UserError: if a size is below 1 or `dt` is not in (0, 1].

    >>> cell = LEMCell(input_size=3, hidden_size=5)
    >>> y_BH, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> y_BH.shape, state.memory.shape
    (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    gate_names = ("memory step", "hidden step")

    def __init__(self, input_size: int, hidden_size: int, dt: Annotated[float, Interval(gt=0, le=1)] = 1.0) -> None:
        if not 0 < dt <= 1:
            raise UserError("dt", "a number above 0 and at most 1", str(dt), fix="model.cell.dt=1.0")
        super().__init__(input_size, hidden_size, input_blocks=4, recurrent_blocks=4)
        self.dt = dt
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))

    def initial_state(self, batch_size: int) -> LEMState:
        """Return zeros, [B, H] each."""
        return LEMState(hidden=self.zeros(batch_size), memory=self.zeros(batch_size))

    def forward(self, x_BI: Tensor, state: LEMState) -> tuple[Tensor, LEMState]:
        """Run one step on x [B, I] and the state; return the output [B, H] and the new state."""
        H = self.hidden_size
        x_B3H, xy_BH = linear(x_BI, self.weight_ih, self.bias).split([3 * H, H], dim=-1)
        weight_3HH, weight_y_HH = self.weight_hh.split([3 * H, H])
        one_BH, two_BH, sum_z_BH = (x_B3H + linear(state.hidden, weight_3HH)).chunk(3, dim=-1)
        dt_z_BH, dt_y_BH = self.dt * torch.sigmoid(one_BH), self.dt * torch.sigmoid(two_BH)
        z_BH = (1 - dt_z_BH) * state.memory + dt_z_BH * torch.tanh(sum_z_BH)
        y_BH = (1 - dt_y_BH) * state.hidden + dt_y_BH * torch.tanh(xy_BH + linear(z_BH, weight_y_HH))
        return y_BH, LEMState(hidden=y_BH, memory=z_BH)
