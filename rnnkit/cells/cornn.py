"""The coupled oscillatory recurrent network (Rusch and Mishra, 2021, arXiv:2010.00951)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rnnkit.cells.blocks import BlockCell
from rnnkit.errors import UserError
from rnnkit.ranges import Positive


class CoRNNState(NamedTuple):
    """`hidden` [B, H], the positions of the oscillators, which are also the output, and `velocity` [B, H]."""

    hidden: Tensor
    velocity: Tensor


class CoRNNCell(BlockCell[CoRNNState]):
    r"""One step of a network of damped, driven, coupled oscillators, whose gradients neither explode nor vanish fast.

    .. math::
        z_t &= z_{t-1} + \Delta t \, (\tanh(V x_t + W y_{t-1} + \mathcal{W} z_{t-1} + b)
               - \gamma y_{t-1} - \epsilon z_{t-1}) \\
        y_t &= y_{t-1} + \Delta t \, z_t

    The damping acts on the previous velocity, as in the authors' experiments. y is the output. `dt`, `gamma` (the
    squared frequency) and `epsilon` (the damping) are hyperparameters of the task; the defaults are those of the
    authors for digits read pixel by pixel. `weight_ih` is V [H, I], `weight_hh` [H, 2H] is W beside the script W,
    `bias` [H].

    Raises:
        UserError: if a size is below 1 or a constant is not positive.

    >>> cell = CoRNNCell(input_size=3, hidden_size=5)
    >>> y_BH, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> y_BH.shape, state.velocity.shape
    (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    def __init__(
        self, input_size: int, hidden_size: int, dt: Positive = 0.042, gamma: Positive = 2.7, epsilon: Positive = 4.7
    ) -> None:
        for name, value in (("dt", dt), ("gamma", gamma), ("epsilon", epsilon)):
            if not value > 0:
                raise UserError(name, "a positive number", str(value), fix=f"model.cell.{name}=1.0")
        super().__init__(input_size, hidden_size, input_blocks=1, recurrent_blocks=1, recurrent_width=2 * hidden_size)
        self.dt, self.gamma, self.epsilon = dt, gamma, epsilon
        self.bias = nn.Parameter(torch.zeros(hidden_size))

    def initial_state(self, batch_size: int) -> CoRNNState:
        """Return zeros, [B, H] each: oscillators at rest."""
        return CoRNNState(hidden=self.zeros(batch_size), velocity=self.zeros(batch_size))

    def forward(self, x_BI: Tensor, state: CoRNNState) -> tuple[Tensor, CoRNNState]:
        """Run one step on x [B, I] and the state; return the output [B, H] and the new state."""
        y_BH, z_BH = state
        force_BH = linear(x_BI, self.weight_ih, self.bias) + linear(torch.cat(state, dim=-1), self.weight_hh)
        z_BH = z_BH + self.dt * (torch.tanh(force_BH) - self.gamma * y_BH - self.epsilon * z_BH)
        y_BH = y_BH + self.dt * z_BH
        return y_BH, CoRNNState(hidden=y_BH, velocity=z_BH)
