"""A stack of cells as one cell."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, cast

from torch import Tensor, nn

from rnnkit.cells.base import Cell
from rnnkit.errors import UserError


class StackContext(NamedTuple):
    """The context of each cell of a stack, if some of them draw random numbers for a window."""

    each: tuple[Any, ...]


class Stack(Cell[tuple[Any, ...]]):
    r"""A stack of cells, each of which reads the output of the one below within a step.

    .. math::
        y^0_t = x_t, \qquad y^l_t, s^l_t = \mathrm{cell}_l(y^{l-1}_t, s^l_{t-1})

    A stack is a cell: it can be wrapped, stacked and fed back as a whole. The layers of an `rnnkit.RNN` compute the
    same function, one layer after the other over the whole sequence. The state is a tuple with the state of each cell.

    Raises:
        UserError: if there is no cell, an item is not a cell instance, or a cell does not fit onto the one below.

    >>> import torch
    >>> from rnnkit.cells import GRUCell, LSTMCell, Residual
    >>> cell = Stack([GRUCell(3, 5), Residual(LSTMCell(5, 5))])
    >>> output, (h_BH, lstm) = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> output.shape, lstm.cell.shape
    (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    def __init__(self, cells: Sequence[Cell[Any]]) -> None:
        super().__init__()
        if len(cells) == 0:
            raise UserError("cells", "one cell or more", "none", fix="cells=[LSTMCell(8, 16)]")
        for index, cell in enumerate(cells):
            if not isinstance(cell, Cell):
                got = cell.__name__ if isinstance(cell, type) else type(cell).__name__
                raise UserError(f"cells[{index}]", "a rnnkit.cells.Cell instance", got, fix="LSTMCell(8, 16)")
        for index, (below, above) in enumerate(pairwise(cells), 1):
            if above.input_size != below.output_size:
                raise UserError(
                    f"cells[{index}]",
                    f"a cell that reads the {below.output_size} outputs of cells[{index - 1}]",
                    f"one that reads {above.input_size}",
                    fix=f"{type(above).__name__}({below.output_size}, ...)",
                )
        self.cells = nn.ModuleList(cells)
        self.input_size = cells[0].input_size
        self.output_size = cells[-1].output_size

    def initial_state(self, batch_size: int) -> tuple[Any, ...]:
        """Return the initial state of each cell."""
        return tuple(cell.initial_state(batch_size) for cell in self._each())

    def begin(self, batch_size: int, context: Any = None) -> Any:
        """Return the given context or, if cells draw random numbers for a window, the context of each cell."""
        given = self._contexts(context)
        each = tuple(cell.begin(batch_size, own) for cell, own in zip(self._each(), given, strict=True))
        is_drawn = any(new is not own for new, own in zip(each, given, strict=True))
        return StackContext(each) if is_drawn else context

    @property
    def takes_context(self) -> bool:
        """Whether any of the cells takes a context."""
        return any(cell.takes_context for cell in self._each())

    @property
    def needs_context(self) -> bool:
        """Whether any of the cells requires a context."""
        return any(cell.needs_context for cell in self._each())

    def forward(self, x: Any, state: tuple[Any, ...], context: Any = None) -> tuple[Tensor, tuple[Any, ...]]:
        """Run one step of every cell, from the lowest to the highest, with the context for those that take one."""
        output, after = x, []
        for cell, own, seen in zip(self._each(), state, self._contexts(context), strict=True):
            output, new = cell(output, own) if seen is None else cell(output, own, context=seen)
            after.append(new)
        return output, tuple(after)

    def _contexts(self, context: Any) -> tuple[Any, ...]:
        """Return the context that each cell sees."""
        if isinstance(context, StackContext):
            return context.each
        return tuple(context if cell.takes_context else None for cell in self._each())

    def _each(self) -> list[Cell[Any]]:
        return [cast("Cell[Any]", cell) for cell in self.cells]
