"""A learned initial state."""

from typing import Any

import torch
from torch import Tensor, nn

from rnnkit.cells.base import Cell, State
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.cells.wrapper import Wrapper


class LearnedInitialState(Wrapper[State]):
    r"""Starts every sequence from a state that is trained with the weights.

    .. math::
        s_0 = \theta, \qquad \theta \text{ initialized to the wrapped cell's own initial state}

    There is one row for each tensor of the state, the same for all rows of a batch. Counters and masks, which have no
    gradient, are those of the wrapped cell. The row of a complex tensor is stored as real numbers, with one more axis.

    >>> from rnnkit.cells import LSTMCell
    >>> cell = LearnedInitialState(LSTMCell(3, 5))
    >>> [tuple(row.shape) for row in cell.rows], cell.initial_state(2).hidden.shape
    ([(1, 5), (1, 5)], torch.Size([2, 5]))
    """

    def __init__(self, cell: Cell[Any]) -> None:
        super().__init__(cell)
        leaves = [leaf.detach().clone() for leaf in state_leaves(cell.initial_state(1)) if _is_learned(leaf)]
        self.rows = nn.ParameterList(torch.view_as_real(leaf) if leaf.is_complex() else leaf for leaf in leaves)

    def initial_state(self, batch_size: int) -> State:
        """Return the learned rows, repeated for each row of the batch."""
        rows = iter(self.rows)

        def learned(leaf: Tensor) -> Tensor:
            if not _is_learned(leaf):
                return leaf
            row = next(rows).to(leaf.dtype.to_real())
            return (torch.view_as_complex(row) if leaf.is_complex() else row).expand_as(leaf)

        state: State = map_state(learned, super().initial_state(batch_size))
        return state

    def forward(self, x: Any, state: State, context: Any = None) -> tuple[Tensor, State]:
        """Run one step of the wrapped cell."""
        return self.inner(x, state, context)


def _is_learned(leaf: Tensor) -> bool:
    return leaf.is_floating_point() or leaf.is_complex()
