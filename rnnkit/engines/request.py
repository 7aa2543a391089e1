"""What `scan` asks of an engine, and what it gets back."""

from typing import Any, NamedTuple

from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.cells.state import state_leaves
from rnnkit.engines.window import FULL, Window


class Request(NamedTuple):
    """One call of `scan`, checked and complete.

    * `x`: a tensor [B, T, I] or a NamedTuple of tensors [B, T, ...].
    * `state`: before the first step; each leaf [B, ...].
    * `context`: constant over the call; None where the cell is called without one.
    * `states`: the state after every step is wanted as well.
    """

    cell: Cell[Any]
    x: Any
    state: Any
    window: Window = FULL
    context: Any = None
    states: bool = False

    @property
    def first(self) -> Tensor:
        """The first tensor of x, which tells batch, steps and device."""
        x = self.x
        return x if isinstance(x, Tensor) else state_leaves(x)[0]

    @property
    def masked(self) -> bool:
        """Whether some row does something else than the others at some step: padding, or a reset."""
        return self.window.lengths is not None or self.window.fresh is not None

    @property
    def plain(self) -> str | None:
        """The reason why this is more than a step of one tensor and a state; None where it is not."""
        if not isinstance(self.x, Tensor):
            return f"its input is a {type(self.x).__name__} of several tensors"
        return None if self.context is None else "its step reads a context"


class Result(NamedTuple):
    """What a run of an engine gives.

    * `y`: the outputs [B, T, O] in time order, zero at padding.
    * `state`: after each row's last step.
    * `states`: after every step, each leaf [B, T, ...]; None where they were not asked for.
    """

    y: Tensor
    state: Any
    states: Any = None
