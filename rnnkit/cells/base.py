"""The interface of a recurrence: one step in time."""

import inspect
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from torch import Tensor, nn

State = TypeVar("State")
"""What a cell remembers: a Tensor or a NamedTuple of Tensors, each [B, ...]."""


class Cell(nn.Module, ABC, Generic[State]):
    """One step of a recurrence, `(x, state) -> (output, state)`; `rnnkit.scan` and `rnnkit.RNN` take it over time.

    Axes, as suffixes throughout rnnkit: B batch, T time steps, I input, H hidden, O output, L layers, D directions.

    A cell never sees time, padding, direction, depth or devices, and treats the rows of a batch independently.
    `rnnkit.testing.check_cell` tells whether a new cell keeps these promises. To write one, set `input_size` and
    `output_size` in `__init__` and define the two methods:

    * `initial_state(batch_size)`: the state before a first step.
    * `forward(x, state)` or `forward(x, state, context=None)`: one step. `x` is a tensor [B, I] or a NamedTuple of
      tensors [B, ...], the state a tensor or a NamedTuple of tensors [B, ...] of any rank. `context` is what is
      constant over one call of `scan`: a tensor, None, or a tuple of them, such as an encoder's memory [B, S, D].
      Gradients flow into it. A cell whose `forward` has no parameter of this name is never called with it.

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
    _context: ClassVar[inspect.Parameter | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._context = inspect.signature(cls.forward).parameters.get("context")

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """The state before a first step, [B, ...]: zeros or learned, on the device and in the dtype of the weights."""

    if TYPE_CHECKING:  # with or without a context; and torch leaves calls of a module untyped

        @abstractmethod
        def forward(self, x: Any, state: State, *args: Any, **kwargs: Any) -> tuple[Tensor, State]: ...

        def __call__(self, x: Any, state: State, context: Any = None) -> tuple[Tensor, State]: ...
    else:

        @abstractmethod
        def forward(self, x, state, context=None):
            """One step: the input [B, I] and the state before it give the output [B, O] and the state after it."""

    @property
    def takes_context(self) -> bool:
        """Whether the step reads a context: its `forward` has a parameter of this name."""
        return self._context is not None

    @property
    def needs_context(self) -> bool:
        """Whether the step cannot be taken without one: that parameter has no default."""
        return self._context is not None and self._context.default is inspect.Parameter.empty

    def begin(self, state: State) -> State:
        """A given state as a window starts with it: what is random for a whole window is drawn here.

        `rnnkit.scan` calls it once, before the first step; whoever steps a cell by hand need not. Most cells have
        nothing of the kind and give the state back.
        """
        return state

    def extra_repr(self) -> str:
        """The two sizes, as `print(cell)` shows them."""
        return f"{self.input_size}, {self.output_size}"
