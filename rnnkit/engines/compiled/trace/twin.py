"""The step of a cell as a function of all tensors that it reads, on a copy of the cell that no other thread uses."""

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from rnnkit.cells.base import Cell, State
from rnnkit.cells.state import map_state
from rnnkit.engines import reference
from rnnkit.engines.compiled.trace.frozen import contents
from rnnkit.engines.compiled.trace.given import Given
from rnnkit.engines.compiled.trace.graphs import Untraceable, first_line
from rnnkit.engines.compiled.trace.readings import readings
from rnnkit.engines.compiled.trace.step import structured
from rnnkit.engines.request import Request, Result
from rnnkit.engines.weights import ComputedWeight, fixed_weights
from rnnkit.engines.window import Window


class Twin:
    """A copy of a cell in its present mode and with its present options, but without tensors, which each call passes.

    Args:
        cell: the cell.
        state: the structure of its states.
        given: its other inputs.

    Raises:
        Untraceable: if an attribute cannot be copied.
    """

    def __init__(
        self,
        cell: Cell[State],
        given: Given,
        state: State,
        weights: dict[str, Tensor],
        computed: list[ComputedWeight],
    ) -> None:
        tensors = (*weights.values(), *cell.parameters(), *cell.buffers())
        memo: dict[int, Any] = {id(tensor): _placeholder(tensor) for tensor in tensors}
        try:
            # tensors created in inference mode cannot be used outside of it
            with torch.inference_mode(False), torch.no_grad():
                self.cell: Cell[State] = copy.deepcopy(cell, memo)
        except Exception as error:
            raise Untraceable(f"it cannot be copied ({first_line(error)})") from error
        self.given = given.like(lambda leaf: _placeholder(leaf).requires_grad_(leaf.requires_grad))
        self.state = map_state(_placeholder, state)
        self._loop = _Loop(self.cell)
        self._computed = {weight.name: memo.get(id(weight.source), weight.source) for weight in computed}
        self._lock = threading.RLock()

    def __call__(
        self, weights: dict[str, Tensor], x_leaves: list[Tensor], state: Any, row_context: list[Tensor]
    ) -> tuple[Tensor, Any]:
        """Run one step with these weights, including computed ones."""
        x, context = self.given.x_of(x_leaves), self.given.context_of(row_context, weights)
        stepped: tuple[Tensor, Any] = self._called(weights, lambda cell: _step(cell, x, state, context))
        return stepped

    def over_time(
        self,
        weights: dict[str, Tensor],
        x_leaves: list[Tensor],
        state: Any,
        first: list[Tensor],
        row_context: list[Tensor],
        window: Window,
        *,
        states: bool,
    ) -> Result:
        """Run the Python loop over a window; `first` are the tensors of the initial state for resets."""
        x, context = self.given.x_of(x_leaves), self.given.context_of(row_context, weights)

        def run(cell: Cell[Any]) -> Any:
            initial = structured(self.state, first) if first else None
            return reference.run(Request(_Stepped(cell, initial), x, state, window, context, states))

        stepped: Result = self._called(weights, run)
        return stepped

    def _called(self, weights: dict[str, Tensor], function: Callable[[Cell[Any]], Any]) -> Any:
        other = {*self._computed, *self.given.shared_names}
        stored = {f"cell.{name}": tensor for name, tensor in weights.items() if name not in other}
        computed = [ComputedWeight(name, source, weights[name]) for name, source in self._computed.items()]
        with self._lock, fixed_weights(computed):
            return functional_call(self._loop, stored, (function,))

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Raise `Untraceable` if a step changes the cell or a global, such as a list or a counter."""
        before = {module: contents(vars(module)) for module in self.cell.modules()}
        with readings(self.cell).undisturbed():
            yield
        for module, kept in before.items():
            now = contents(vars(module))
            for name in {**kept, **now}:
                if name not in kept or name not in now or kept[name] != now[name]:
                    raise Untraceable(f"its step changes {type(module).__name__}.{name}")


class _Loop(nn.Module):
    """A module whose forward calls a cell, so that other tensors can replace those of the cell."""

    def __init__(self, cell: Cell[Any]) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, function: Callable[[Cell[Any]], Any]) -> Any:
        return function(self.cell)


class _Stepped(Cell[Any]):
    """A cell with a given initial state."""

    def __init__(self, cell: Cell[Any], initial: Any) -> None:
        super().__init__()
        self.cell = cell
        self.initial = initial

    def initial_state(self, batch_size: int) -> Any:
        return self.initial

    def forward(self, x: Any, state: Any, context: Any = None) -> tuple[Tensor, Any]:
        return _step(self.cell, x, state, context)


def _step(cell: Cell[Any], x: Any, state: Any, context: Any) -> tuple[Tensor, Any]:
    return cell(x, state) if context is None else cell(x, state, context=context)


def _placeholder(tensor: Tensor) -> Tensor:
    """Return a tensor of the same kind without memory."""
    with torch.inference_mode(False), torch.no_grad():
        empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
