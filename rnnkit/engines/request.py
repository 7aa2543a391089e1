"""The argument and the result of an engine."""

from typing import Any, NamedTuple

from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.cells.state import state_leaves
from rnnkit.engines.window import FULL, Window


class Request(NamedTuple):
    """One call of `scan`, after all checks.

    Args:
        cell: the cell.
        x: a tensor [B, T, I] or a NamedTuple of tensors [B, T, ...].
        state: the state before the first step; each leaf [B, ...].
        window: padding, resets and direction.
        context: constant over the call; None if the cell is called without one.
        states: whether the state after every step is requested.
        initial: the state from which rows start anew; None if no row does, or for the cell's own.
    """

    cell: Cell[Any]
    x: Any
    state: Any
    window: Window = FULL
    context: Any = None
    states: bool = False
    initial: Any = None

    def fresh_state(self) -> Any:
        """Return the state from which rows start anew; `scan` draws it once, so that it is the same for all chunks."""
        return self.cell.initial_state(self.first.shape[0]) if self.initial is None else self.initial

    @property
    def first(self) -> Tensor:
        """The first tensor of x, which has the batch size, the number of steps and the device."""
        x = self.x
        return x if isinstance(x, Tensor) else state_leaves(x)[0]

    @property
    def masked(self) -> bool:
        """Whether the rows differ in what they do at some step, by padding or a reset."""
        return self.window.lengths is not None or self.window.fresh is not None

    @property
    def plain(self) -> str | None:
        """The reason why a step reads more than one tensor and a state; None if it does not."""
        if not isinstance(self.x, Tensor):
            return f"its input is a {type(self.x).__name__} of several tensors"
        return None if self.context is None else "its step reads a context"


class Result(NamedTuple):
    """The result of an engine.

    Args:
        y: the outputs [B, T, O] in time order, zero at padding.
        state: the state after the last step of each row.
        states: the state after every step, each leaf [B, T, ...]; None unless requested.
    """

    y: Tensor
    state: Any
    states: Any = None
