"""Zoneout (Krueger et al., 2017, arXiv:1606.01305)."""

from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.base import Cell, State
from rnnkit.cells.probability import check_probability
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.cells.wrapper import Wrapper
from rnnkit.ranges import Probability


class Zoneout(Wrapper[State]):
    r"""Keeps each element of the previous state with probability p, independently at every step.

    .. math::
        s_t = d_t \odot s_{t-1} + (1 - d_t) \odot \tilde s_t, \qquad
        d_t \sim \mathrm{Bernoulli}(p) \text{ in training}, \quad d_t = p \text{ in evaluation}

    with :math:`\tilde s_t` the new state of the wrapped cell. Every floating-point (or complex) tensor of the state has
    its own mask; integers and booleans are not changed. If the output of the cell is one of the tensors of its state,
    as in an LSTM, the output changes with it.

    Raises:
        UserError: if `p` is not in [0, 1).

    >>> from rnnkit.cells import ElmanCell
    >>> cell = Zoneout(ElmanCell(3, 64), p=0.5)
    >>> _, after = cell(torch.randn(1, 3), torch.full((1, 64), 7.0))
    >>> 0 < (after == 7).sum() < 64
    tensor(True)
    """

    def __init__(self, cell: Cell[State], p: Probability) -> None:
        super().__init__(cell)
        check_probability("p", p)
        self.p = p

    def forward(self, x: Any, state: State, context: Any = None) -> tuple[Tensor, State]:
        """Run one step of the wrapped cell and mix its state with the previous one."""
        output, new = self.inner(x, state, context)
        mixed: Any = map_state(self._mixed, state, new)
        pairs = zip(state_leaves(new), state_leaves(mixed), strict=True)
        return next((after for before, after in pairs if before is output), output), mixed

    def _mixed(self, old: Tensor, new: Tensor) -> Tensor:
        if old is new or not (new.is_floating_point() or new.is_complex()):
            return new
        if not self.training:
            return self.p * old + (1 - self.p) * new
        # in float32: bfloat16 has too few values below 1 for a probability
        return torch.where(torch.rand(new.shape, device=new.device) < self.p, old, new)

    def extra_repr(self) -> str:
        """Return the sizes and the probability, for `print(cell)`."""
        return f"{super().extra_repr()}, p={self.p}"
