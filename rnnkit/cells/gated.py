"""The weights of the classic cells, named and laid out as torch names them, and their first values."""

import torch
from torch import nn

from rnnkit.cells.base import Cell, State
from rnnkit.errors import UserError


class GatedCell(Cell[State]):
    """What the classic cells share: one input map and one recurrent map for all gates, stacked in torch's order.

    The recurrent block of each gate starts orthogonal, so that the state neither grows nor fades in the first steps of
    training (Saxe et al., 2014, arXiv:1312.6120); the input block of each gate starts uniform in the range of Glorot
    and Bengio (2010); biases start at zero. Without biases, `bias_ih` and `bias_hh` are None, as in torch.
    """

    weight_ih: nn.Parameter
    weight_hh: nn.Parameter
    bias_ih: nn.Parameter | None
    bias_hh: nn.Parameter | None

    def __init__(self, input_size: int, hidden_size: int, *, gates: int, bias: bool) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size < 1:
                raise UserError(name, "a whole number of at least 1", str(size), fix=f"model.{name}=128")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.output_size = hidden_size
        self.weight_ih = nn.Parameter(torch.empty(gates * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(gates * hidden_size, hidden_size))
        self.register_parameter("bias_ih", nn.Parameter(torch.zeros(gates * hidden_size)) if bias else None)
        self.register_parameter("bias_hh", nn.Parameter(torch.zeros(gates * hidden_size)) if bias else None)
        with torch.no_grad():
            for block_HI, block_HH in zip(self.weight_ih.chunk(gates), self.weight_hh.chunk(gates), strict=True):
                nn.init.xavier_uniform_(block_HI)
                # The QR decomposition inside knows no half precision, which the default dtype may be.
                block_HH.copy_(nn.init.orthogonal_(torch.empty_like(block_HH, dtype=torch.float32)))
