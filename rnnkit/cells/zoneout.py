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
    r"""Let each element of the state keep its old value with probability p, at every step anew.

    .. math::
        s_t = d_t \odot s_{t-1} + (1 - d_t) \odot \tilde s_t, \qquad
        d_t \sim \mathrm{Bernoulli}(p) \text{ in training}, \quad d_t = p \text{ in evaluation}

    with :math:`\tilde s_t` the state that the wrapped cell gives. Every floating-point (or complex) tensor of the state
    has a mask of its own; integers and booleans are left alone. Where the cell's output is one of the tensors of its
    state, as an LSTM's is, the output follows.

    Raises `UserError` for a `p` outside [0, 1).

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
        """One step of the wrapped cell, mixed with the state before it."""
        output, new = self.inner(x, state, context)
        mixed: Any = map_state(self._mixed, state, new)
        pairs = zip(state_leaves(new), state_leaves(mixed), strict=True)
        return next((after for before, after in pairs if before is output), output), mixed

    def _mixed(self, old: Tensor, new: Tensor) -> Tensor:
        if old is new or not (new.is_floating_point() or new.is_complex()):
            return new
        if not self.training:
            return self.p * old + (1 - self.p) * new
        # In single precision: a bfloat16 has too few values below 1 for a probability.
        return torch.where(torch.rand(new.shape, device=new.device) < self.p, old, new)

    def extra_repr(self) -> str:
        """The sizes and the probability, as `print(cell)` shows them."""
        return f"{super().extra_repr()}, p={self.p}"
