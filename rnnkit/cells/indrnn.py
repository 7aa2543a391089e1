"""The independently recurrent network (Li et al., 2018, arXiv:1803.04831)."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rnnkit.cells.base import Cell
from rnnkit.cells.blocks import check_size
from rnnkit.errors import UserError


class IndRNNCell(Cell[Tensor]):
    r"""One step of an independently recurrent network, whose neurons have no recurrent connections to each other.

    .. math::
        h_t = \mathrm{relu}(W x_t + u \odot h_{t-1} + b)

    or tanh, with `nonlinearity="tanh"`. The state of a neuron is multiplied by its factor u in each step; u is
    initialized uniformly in [0, 1], so that there are memories of all lengths. If training moves u above 1, a ReLU
    state can grow without bound, which the paper prevents by clipping u. Neurons are connected across layers only: use
    two or more layers.

    The output is the new state. `weight_ih` [H, I], `weight_hh` [H] and `bias` [H].

    Raises:
        UserError: if a size is below 1 or the nonlinearity is unknown.

    >>> cell = IndRNNCell(input_size=3, hidden_size=5)
    >>> h_BH, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> h_BH.shape
    torch.Size([2, 5])
    """

    def __init__(self, input_size: int, hidden_size: int, nonlinearity: Literal["relu", "tanh"] = "relu") -> None:
        super().__init__()
        check_size("input_size", input_size)
        check_size("hidden_size", hidden_size)
        if nonlinearity not in ("relu", "tanh"):
            raise UserError("nonlinearity", "relu or tanh", repr(nonlinearity), fix="model.cell.nonlinearity=relu")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.output_size = hidden_size
        self.nonlinearity = nonlinearity
        self.weight_ih = nn.Parameter(nn.init.xavier_uniform_(torch.empty(hidden_size, input_size)))
        self.weight_hh = nn.Parameter(torch.rand(hidden_size))
        self.bias = nn.Parameter(torch.zeros(hidden_size))

    def initial_state(self, batch_size: int) -> Tensor:
        """Return zeros [B, H]."""
        return self.weight_hh.new_zeros(batch_size, self.hidden_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run one step on x [B, I] and the state [B, H]; output and new state are the same."""
        sum_BH = linear(x_BI, self.weight_ih, self.bias) + self.weight_hh * state
        h_BH = torch.relu(sum_BH) if self.nonlinearity == "relu" else torch.tanh(sum_BH)
        return h_BH, h_BH
