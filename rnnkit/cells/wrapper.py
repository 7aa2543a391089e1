"""Base class of wrappers, which change the behavior of any cell, so that cells need no options for it."""

from typing import Any, ClassVar

from torch import Tensor

from rnnkit.cells.base import Cell, State
from rnnkit.errors import UserError


class Wrapper(Cell[State]):
    """A cell around another one, `cell`, with the same sizes and initial state; subclasses define the step.

    Wrappers can be nested; the innermost acts first. A wrapper takes a context if its own `forward` and the wrapped
    cell do, and passes it on with `self.inner(x, state, context)`.

    Raises:
        UserError: if `cell` is not a cell.

    >>> import torch
    >>> from rnnkit.cells import GRUCell
    >>> class Negated(Wrapper[torch.Tensor]):
    ...     def forward(self, x_BI: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    ...         return self.cell(-x_BI, state)
    >>> cell = Negated(GRUCell(3, 5))
    >>> cell(torch.zeros(2, 3), cell.initial_state(2))[0].shape
    torch.Size([2, 5])
    """

    only_in_training: ClassVar[bool] = False
    """Whether the wrapper in evaluation mode computes exactly what the cell computes."""

    def __init__(self, cell: Cell[Any]) -> None:
        super().__init__()
        if not isinstance(cell, Cell):
            got = cell.__name__ if isinstance(cell, type) else type(cell).__name__
            raise UserError("cell", "a rnnkit.cells.Cell instance to wrap", got, fix="cell=LSTMCell(8, 16)")
        self.cell = cell
        self.input_size = cell.input_size
        self.output_size = cell.output_size

    def initial_state(self, batch_size: int) -> State:
        """Return the initial state of the wrapped cell."""
        state: State = self.cell.initial_state(batch_size)
        return state

    @property
    def takes_context(self) -> bool:
        """Whether the wrapped cell takes a context, and this wrapper passes it on."""
        return super().takes_context and self.cell.takes_context

    @property
    def needs_context(self) -> bool:
        """Whether the wrapped cell requires a context."""
        return self.cell.needs_context

    def inner(self, x: Any, state: State, context: Any = None) -> tuple[Tensor, State]:
        """Run one step of the wrapped cell, with a context only if there is one."""
        stepped: tuple[Tensor, State] = self.cell(x, state) if context is None else self.cell(x, state, context=context)
        return stepped

    def begin(self, batch_size: int, context: Any = None) -> Any:
        """Return the context of a window for the wrapped cell.

        Raises:
            UserError: if there is one, and `forward` has no parameter for it.
        """
        begun = self.cell.begin(batch_size, context)
        if begun is not None and not super().takes_context:
            expected = "a forward(x, state, context=None), because the wrapped cell draws numbers for a window"
            fix = "def forward(self, x, state, context=None), which calls self.inner(x, state, context)"
            raise UserError(type(self).__name__, expected, "a forward without a context", fix=fix)
        return begun
