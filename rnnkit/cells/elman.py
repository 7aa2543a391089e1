"""The simple recurrent network (Elman, 1990, doi:10.1207/s15516709cog1402_1)."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import linear

from rnnkit.cells.gated import GatedCell
from rnnkit.errors import UserError


class ElmanCell(GatedCell[Tensor]):
    r"""One step of a simple recurrent network.

    .. math::
        h_t = \tanh(W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh})

    or, with `nonlinearity="relu"`, the same with a ReLU (Le et al., 2015, arXiv:1504.00941). The output is the new
    state. Parameters are named and shaped as in `torch.nn.RNNCell`: `weight_ih` [H, I], `weight_hh` [H, H], biases [H].

    Raises:
        UserError: if a size is below 1 or the nonlinearity is unknown.

    >>> cell = ElmanCell(input_size=3, hidden_size=5)
    >>> h_BH, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> h_BH.shape
    torch.Size([2, 5])
    """

    def __init__(
        self, input_size: int, hidden_size: int, nonlinearity: Literal["tanh", "relu"] = "tanh", bias: bool = True
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise UserError("nonlinearity", "tanh or relu", repr(nonlinearity), fix="model.cell.nonlinearity=tanh")
        super().__init__(input_size, hidden_size, gates=1, bias=bias)
        self.nonlinearity = nonlinearity

    def initial_state(self, batch_size: int) -> Tensor:
        """Return zeros [B, H]."""
        return self.weight_hh.new_zeros(batch_size, self.hidden_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run one step on x [B, I] and the state [B, H]; output and new state are the same."""
        sum_BH = linear(x_BI, self.weight_ih, self.bias_ih) + linear(state, self.weight_hh, self.bias_hh)
        h_BH = torch.tanh(sum_BH) if self.nonlinearity == "tanh" else torch.relu(sum_BH)
        return h_BH, h_BH
