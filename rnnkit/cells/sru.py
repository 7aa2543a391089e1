"""The simple recurrent unit (Lei et al., 2018, arXiv:1709.02755)."""

import torch
from torch import Tensor, nn

from rnnkit.cells.linear import LinearCell


class SRUCell(LinearCell):
    r"""One step of an SRU whose gates depend on the input only.

    .. math::
        f_t &= \sigma(W_f x_t + b_f) \\
        c_t &= f_t \odot c_{t-1} + (1 - f_t) \odot W x_t \\
        r_t &= \sigma(W_r x_t + b_r) \\
        h_t &= r_t \odot c_t + (1 - r_t) \odot x_t

    In later versions of the paper, the gates also depend on :math:`c_{t-1}`, through a vector `v` for each. That term
    is left out, as in the first version, so that the recurrence is linear. The last line is a highway connection around
    the recurrence; if the input is not as wide as the state, its linear map `skip` replaces it. The state is c, the
    output h. `input_map.weight` is [2H, I], in the order f, W; only f has a bias.

    >>> cell = SRUCell(input_size=3, hidden_size=5)
    >>> h_BH, c_BH = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> h_BH.shape, c_BH.shape
    (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    gate_names = ("forget", "reset")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.input_map = nn.Linear(input_size, 2 * hidden_size, bias=False)
        self.forget_bias = nn.Parameter(torch.zeros(hidden_size))
        self.reset_map = nn.Linear(input_size, hidden_size)
        self.skip = nn.Identity() if input_size == hidden_size else nn.Linear(input_size, hidden_size, bias=False)

    def initial_state(self, batch_size: int) -> Tensor:
        """Return zeros [B, H]."""
        return self.forget_bias.new_zeros(batch_size, self.hidden_size)

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return `f` and `(1 - f) W x`."""
        forget, candidate = self.input_map(x).chunk(2, dim=-1)
        f = torch.sigmoid(forget + self.forget_bias)
        return f, torch.addcmul(candidate, f, candidate, value=-1)

    def readout(self, h: Tensor, x: Tensor) -> Tensor:
        """Return the state where r is open, the input where it is closed."""
        skipped: Tensor = self.skip(x)
        return skipped + torch.sigmoid(self.reset_map(x)) * (h - skipped)
