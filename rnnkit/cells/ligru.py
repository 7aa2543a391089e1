"""The light gated recurrent unit (Ravanelli et al., 2018, arXiv:1803.10225)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rnnkit.cells.blocks import BlockCell


class LiGRUCell(BlockCell[Tensor]):
    r"""One step of a light GRU: no reset gate, a ReLU candidate, a normalized input projection.

    .. math::
        (z, n)_t &= \mathrm{LN}(W_{ih} x_t) + W_{hh} h_{t-1} \\
        h_t &= \sigma(z_t) \odot h_{t-1} + (1 - \sigma(z_t)) \odot \mathrm{relu}(n_t)

    The paper normalizes the input projection over the batch, which would make rows depend on each other and is
    impossible for a single step. Here LN normalizes it over its 2H features, with a gain and the bias of the gates. The
    output is the new state. `weight_ih` [2H, I] and `weight_hh` [2H, H] are ordered (z, n).

    Raises:
        UserError: if a size is below 1.

    >>> cell = LiGRUCell(input_size=3, hidden_size=5)
    >>> h_BH, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> h_BH.shape
    torch.Size([2, 5])
    """

    gate_names = ("update",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, input_blocks=2, recurrent_blocks=2)
        self.norm_ih = nn.LayerNorm(2 * hidden_size)

    def initial_state(self, batch_size: int) -> Tensor:
        """Return zeros [B, H]."""
        return self.zeros(batch_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run one step on x [B, I] and the state [B, H]; output and new state are the same."""
        z_BH, n_BH = (self.norm_ih(linear(x_BI, self.weight_ih)) + linear(state, self.weight_hh)).chunk(2, dim=-1)
        keep_BH = torch.sigmoid(z_BH)
        h_BH = keep_BH * state + (1 - keep_BH) * torch.relu(n_BH)
        return h_BH, h_BH
