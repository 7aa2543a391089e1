"""The independently recurrent network (Li et al., 2018, arXiv:1803.04831)."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rnnkit.cells.base import Cell
from rnnkit.cells.blocks import check_size
from rnnkit.errors import UserError


class IndRNNCell(Cell[Tensor]):
    r"""One step of an independently recurrent network: a neuron sees its own past and, in layers above, the others'.

    .. math::
        h_t = \mathrm{relu}(W x_t + u \odot h_{t-1} + b)

    or tanh, with `nonlinearity="tanh"`. A neuron's memory shrinks by its factor u each step; u starts uniform in
    [0, 1], so that every length of memory is there. Where training moves it above 1, a rectified state can grow without
    bound, which the paper prevents by clipping u. Neurons work together only across layers: use two or more.

    The output is the new state. `weight_ih` [H, I], `weight_hh` [H] and `bias` [H].

    Raises `UserError` for a size below 1 and for an unknown nonlinearity.

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
        """Zeros [B, H]."""
        return self.weight_hh.new_zeros(batch_size, self.hidden_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One step: [B, I] and [B, H] give [B, H], twice."""
        sum_BH = linear(x_BI, self.weight_ih, self.bias) + self.weight_hh * state
        h_BH = torch.relu(sum_BH) if self.nonlinearity == "relu" else torch.tanh(sum_BH)
        return h_BH, h_BH
