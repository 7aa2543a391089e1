"""The closed-form continuous-time network (Hasani et al., 2022, arXiv:2106.13898)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rnnkit.cells.base import Cell
from rnnkit.cells.blocks import check_size, orthogonal_
from rnnkit.errors import UserError
from rnnkit.ranges import PositiveInt


class CfCCell(Cell[Tensor]):
    r"""One step of a closed-form continuous-time network, in which the state evolves over the time between inputs.

    .. math::
        u_t &= 1.7159 \tanh(\tfrac{2}{3} (W x_t + U h_{t-1} + b)) \\
        s_t &= \sigma(\tau_t \, a(u_t) + d(u_t)) \\
        h_t &= (1 - s_t) \odot \tanh(g(u_t)) + s_t \odot \tanh(k(u_t))

    The backbone u, of `backbone_size` features, has LeCun's tanh; g, k, a and d are affine maps of it. The elapsed time
    :math:`\tau_t` is 1. With `elapsed_time=True` it is the last feature of x, in any unit, and the backbone reads only
    the others. With increasing time, a unit moves to tanh(k) if a is positive, to tanh(g) if it is negative.

    The output is the new state. `weight_ih` is W, `weight_hh` U, `bias` b; `heads` has (g, k, a, d).

    Raises:
        UserError: if a size is below 1, or the elapsed time is the only feature.

    >>> cell = CfCCell(input_size=3, hidden_size=5, elapsed_time=True)
    >>> h_BH, state = cell(torch.tensor([[0.3, -0.2, 1.0], [0.3, -0.2, 7.5]]), cell.initial_state(2))
    >>> h_BH.shape, torch.equal(h_BH[0], h_BH[1])
    (torch.Size([2, 5]), False)
    """

    gate_names = ("time",)

    def __init__(
        self, input_size: int, hidden_size: int, backbone_size: PositiveInt = 128, elapsed_time: bool = False
    ) -> None:
        super().__init__()
        check_size("input_size", input_size)
        check_size("hidden_size", hidden_size)
        if backbone_size < 1:
            got, fix = str(backbone_size), "model.cell.backbone_size=128"
            raise UserError("backbone_size", "a whole number of at least 1", got, fix=fix)
        if elapsed_time and input_size < 2:
            fix = "model.cell.elapsed_time=false"
            raise UserError("input_size", "at least 2 with elapsed_time, a feature and the time", "1", fix=fix)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.output_size = hidden_size
        self.elapsed_time = elapsed_time
        self.weight_ih = nn.Parameter(nn.init.xavier_uniform_(torch.empty(backbone_size, input_size - elapsed_time)))
        self.weight_hh = nn.Parameter(torch.empty(backbone_size, hidden_size))
        orthogonal_(self.weight_hh)
        self.bias = nn.Parameter(torch.zeros(backbone_size))
        self.heads = nn.Linear(backbone_size, 4 * hidden_size)
        nn.init.zeros_(self.heads.bias)
        for head_HU in self.heads.weight.detach().chunk(4):
            nn.init.xavier_uniform_(head_HU)

    def initial_state(self, batch_size: int) -> Tensor:
        """Return zeros [B, H]."""
        return self.weight_hh.new_zeros(batch_size, self.hidden_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run one step on x [B, I] and the state [B, H]; output and new state are the same."""
        seen_BI = x_BI[:, :-1] if self.elapsed_time else x_BI
        sum_BU = linear(seen_BI, self.weight_ih, self.bias) + linear(state, self.weight_hh)
        g_BH, k_BH, a_BH, d_BH = self.heads(1.7159 * torch.tanh(2 / 3 * sum_BU)).chunk(4, dim=-1)
        s_BH = torch.sigmoid(x_BI[:, -1:] * a_BH + d_BH if self.elapsed_time else a_BH + d_BH)
        h_BH = (1 - s_BH) * torch.tanh(g_BH) + s_BH * torch.tanh(k_BH)
        return h_BH, h_BH
