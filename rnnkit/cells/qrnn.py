"""The quasi-recurrent network (Bradbury et al., 2017, arXiv:1611.01576)."""

import torch
from torch import Tensor, nn

from rnnkit.cells.linear import LinearCell


class QRNNCell(LinearCell):
    r"""One step of a QRNN with fo-pooling and a convolution of width 1.

    .. math::
        z_t &= \tanh(W_z x_t + b_z), \quad f_t = \sigma(W_f x_t + b_f), \quad o_t = \sigma(W_o x_t + b_o) \\
        c_t &= f_t \odot c_{t-1} + (1 - f_t) \odot z_t \\
        h_t &= o_t \odot c_t

    The state is c, the output h. A wider convolution is a separate layer before the cell, since a cell reads one step.
    `input_map.weight` is [2H, I], in the order z, f.

    >>> cell = QRNNCell(input_size=3, hidden_size=5)
    >>> h_BH, c_BH = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> h_BH.shape, c_BH.shape
    (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    gate_names = ("forget", "output")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.input_map = nn.Linear(input_size, 2 * hidden_size)
        self.output_gate = nn.Linear(input_size, hidden_size)

    def initial_state(self, batch_size: int) -> Tensor:
        """Return zeros [B, H]."""
        return self.input_map.weight.new_zeros(batch_size, self.hidden_size)

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return `f` and `(1 - f) z`."""
        candidate, forget = self.input_map(x).chunk(2, dim=-1)
        z, f = torch.tanh(candidate), torch.sigmoid(forget)
        return f, torch.addcmul(z, f, z, value=-1)

    def readout(self, h: Tensor, x: Tensor) -> Tensor:
        """Return `o c`."""
        return torch.sigmoid(self.output_gate(x)) * h
