"""A cell with one more input, which is added to its state: the gradient with respect to it is that of the state."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.cells.wrapper import Wrapper
from rnnkit.insight.vectors import from_vector, is_differentiable, to_vector


class ProbedInput(NamedTuple):
    """The input of the cell, and the vector [B, S] that is added to its state."""

    inner: Any
    added: Tensor


class Probed(Wrapper[Any]):
    r"""A cell whose state before each step is shifted by an input e.

    .. math::
        y_t, s_t = \mathrm{cell}(x_t, s_{t-1} + e_t)

    With e = 0, the gradient with respect to :math:`e_t` is the gradient with respect to the state before step t, with
    all parts of the state taken as independent. At a reset, e acts on the initial state. If x is a tensor, the input is
    the tensor [x, e], which every engine accepts; otherwise it is a `ProbedInput`.

    >>> from rnnkit.cells import GRUCell
    >>> cell = Probed(GRUCell(3, 5))
    >>> cell(torch.zeros(2, 3 + 5), cell.initial_state(2))[0].shape
    torch.Size([2, 5])
    """

    def __init__(self, cell: Cell[Any]) -> None:
        super().__init__(cell)
        self.state_size = to_vector(cell.initial_state(1)).shape[-1]
        self.input_size = cell.input_size + self.state_size
        self.training = cell.training

    def forward(self, x: Any, state: Any, context: Any = None) -> tuple[Tensor, Any]:
        """Run one step from the shifted state."""
        if isinstance(x, Tensor):
            inner, added = x[..., : self.cell.input_size], x[..., self.cell.input_size :]
        else:
            inner, added = x
        shift = from_vector(added, state)
        shifted = map_state(lambda leaf, e: leaf + e if is_differentiable(leaf) else leaf, state, shift)
        return self.inner(inner, shifted, context)

    def input_of(self, x: Any, added_BTS: Tensor) -> Any:
        """Return the input over time for an input of the cell and what is added to its states."""
        if isinstance(x, Tensor):
            return torch.cat([x, added_BTS.to(x.dtype)], dim=-1)
        return ProbedInput(x, added_BTS)

    def zeros(self, x: Any) -> Tensor:
        """Return e = 0 for an input [B, T, ...]."""
        first = x if isinstance(x, Tensor) else state_leaves(x)[0]
        like = to_vector(self.cell.initial_state(1))
        return like.new_zeros(*first.shape[:2], self.state_size)
