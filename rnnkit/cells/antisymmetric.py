"""The antisymmetric recurrent network (Chang et al., 2019, arXiv:1902.09689)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rnnkit.cells.blocks import BlockCell
from rnnkit.errors import UserError
from rnnkit.ranges import NonNegative, Positive


class AntisymmetricCell(BlockCell[Tensor]):
    r"""One Euler step of a differential equation whose solutions neither grow nor decay.

    .. math::
        a_t &= (W - W^\top) h_{t-1} - \gamma h_{t-1} \\
        h_t &= h_{t-1} + \epsilon \tanh(V x_t + a_t + b)

    and with `gated=True` :math:`h_t = h_{t-1} + \epsilon \, \sigma(V_z x_t + a_t + b_z) \odot \tanh(V x_t + a_t + b)`.
    The eigenvalues of an antisymmetric matrix have real part zero, so that those of the system have real part
    :math:`-\gamma`. The `diffusion` :math:`\gamma` compensates for the growth by Euler steps of size :math:`\epsilon`.

    The output is the new state. `weight_ih` [H, I] and `bias` [H], gated [2H, I] and [2H] with the gate second;
    `weight_hh` [H, H] is W.

    Raises:
        UserError: if a size is below 1, `step_size` is not positive, or `diffusion` is negative.

    >>> cell = AntisymmetricCell(input_size=3, hidden_size=5)
    >>> h_BH, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> h_BH.shape
    torch.Size([2, 5])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        step_size: Positive = 0.1,
        diffusion: NonNegative = 0.1,
        gated: bool = False,
    ) -> None:
        if not step_size > 0:
            raise UserError("step_size", "a positive number", str(step_size), fix="model.cell.step_size=0.1")
        if not diffusion >= 0:
            raise UserError("diffusion", "a number of at least 0", str(diffusion), fix="model.cell.diffusion=0.1")
        super().__init__(input_size, hidden_size, input_blocks=1 + gated, recurrent_blocks=1)
        self.step_size, self.diffusion, self.gated = step_size, diffusion, gated
        self.bias = nn.Parameter(torch.zeros((1 + gated) * hidden_size))

    def initial_state(self, batch_size: int) -> Tensor:
        """Return zeros [B, H]."""
        return self.zeros(batch_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run one step on x [B, I] and the state [B, H]; output and new state are the same."""
        drive_BG = linear(x_BI, self.weight_ih, self.bias)
        a_BH = linear(state, self.weight_hh - self.weight_hh.T) - self.diffusion * state
        if self.gated:
            candidate_BH, gate_BH = drive_BG.chunk(2, dim=-1)
            change_BH = torch.sigmoid(gate_BH + a_BH) * torch.tanh(candidate_BH + a_BH)
        else:
            change_BH = torch.tanh(drive_BG + a_BH)
        h_BH = state + self.step_size * change_BH
        return h_BH, h_BH
