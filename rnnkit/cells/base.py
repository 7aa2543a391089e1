"""The interface of a recurrence: one step in time."""

import inspect
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from torch import Tensor, nn

State = TypeVar("State")
"""The state of a cell: a Tensor or a NamedTuple of Tensors, each [B, ...]."""


class Cell(nn.Module, ABC, Generic[State]):
    """One step of a recurrence, `(x, state) -> (output, state)`; `rnnkit.scan` and `rnnkit.RNN` run it over time.

    Axes, as suffixes throughout rnnkit: B batch, T time steps, I input, H hidden, O output, L layers, D directions.

    A cell does not handle time, padding, direction, depth or devices, and computes the rows of a batch independently.
    `rnnkit.testing.check_cell` checks these properties of a new cell. To write one, set `input_size` and `output_size`
    in `__init__` and define the two methods:

    * `initial_state(batch_size)`: the state before the first step.
    * `forward(x, state)` or `forward(x, state, context=None)`: one step. `x` is a tensor [B, I] or a NamedTuple of
      tensors [B, ...], the state a tensor or a NamedTuple of tensors [B, ...] of any rank. `context` is constant over
      one call of `scan`: a tensor, None, or a tuple of them, such as an encoder's memory [B, S, D]. Gradients flow into
      it. A cell whose `forward` has no parameter of this name is never called with it.

    >>> import torch
    >>> class Leaky(Cell[Tensor]):
    ...     def __init__(self, input_size: int, hidden_size: int) -> None:
    ...         super().__init__()
    ...         self.input_size, self.output_size = input_size, hidden_size
    ...         self.input_map = nn.Linear(input_size, hidden_size)
    ...     def initial_state(self, batch_size: int) -> Tensor:
    ...         return self.input_map.weight.new_zeros(batch_size, self.output_size)
    ...     def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    ...         h_BH = 0.9 * state + 0.1 * self.input_map(x_BI)
    ...         return h_BH, h_BH
    >>> cell = Leaky(3, 5)
    >>> output, state = cell(torch.zeros(2, 3), cell.initial_state(2))
    >>> output.shape
    torch.Size([2, 5])
    """

    input_size: int
    output_size: int
    gate_names: ClassVar[tuple[str, ...]] = ()
    """The names of its gates for reports, in the order in which a step computes their sigmoids."""
    _context: ClassVar[inspect.Parameter | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._context = inspect.signature(cls.forward).parameters.get("context")

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """Return the state before the first step, [B, ...]: zeros or learned, with the device and dtype of the
        weights.
        """

    if TYPE_CHECKING:  # with or without a context; torch does not type calls of a module

        @abstractmethod
        def forward(self, x: Any, state: State, *args: Any, **kwargs: Any) -> tuple[Tensor, State]: ...

        def __call__(self, x: Any, state: State, context: Any = None) -> tuple[Tensor, State]: ...
    else:

        @abstractmethod
        def forward(self, x, state, context=None):
            """Run one step: map the input [B, I] and the previous state to the output [B, O] and the new state."""

    @property
    def takes_context(self) -> bool:
        """Whether `forward` has a parameter `context`."""
        return self._context is not None

    @property
    def needs_context(self) -> bool:
        """Whether `forward` requires a context: its parameter has no default."""
        return self._context is not None and self._context.default is inspect.Parameter.empty

    def begin(self, batch_size: int, context: Any = None) -> Any:
        """Return the context of a window of steps, with the random numbers for the whole window drawn.

        `rnnkit.scan` calls it once, before the first step, and passes the result to every step. Most cells draw no such
        numbers and return the given context.
        """
        return context

    def extra_repr(self) -> str:
        """Return the two sizes, for `print(cell)`."""
        return f"{self.input_size}, {self.output_size}"
