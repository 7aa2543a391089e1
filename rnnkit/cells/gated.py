"""The weights of the classic cells, with torch's names and layout, and their initialization."""

import torch
from torch import nn

from rnnkit.cells.base import State
from rnnkit.cells.blocks import BlockCell


class GatedCell(BlockCell[State]):
    """Base class of the classic cells: one input and one recurrent projection for all gates, stacked in torch's order.

    The recurrent block of each gate is initialized orthogonally, its input block uniformly in the range of Glorot and
    Bengio (2010), and biases with zeros. Without biases, `bias_ih` and `bias_hh` are None, as in torch.
    """

    weight_ih: nn.Parameter
    weight_hh: nn.Parameter
    bias_ih: nn.Parameter | None
    bias_hh: nn.Parameter | None

    def __init__(self, input_size: int, hidden_size: int, *, gates: int, bias: bool) -> None:
        super().__init__(input_size, hidden_size, input_blocks=gates, recurrent_blocks=gates)
        self.register_parameter("bias_ih", nn.Parameter(torch.zeros(gates * hidden_size)) if bias else None)
        self.register_parameter("bias_hh", nn.Parameter(torch.zeros(gates * hidden_size)) if bias else None)
