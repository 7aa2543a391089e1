"""The cell under test with its arguments: always the same numbers, in the dtype of its weights."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.cells.state import map_state, state_leaves

BATCH, STEPS = 3, 7


class Subject(NamedTuple):
    """A cell, and functions for inputs [B, T, ...] and contexts; None for a tensor [B, T, I], and for no context."""

    cell: Cell[Any]
    inputs: Callable[[int, int], Any] | None = None
    contexts: Callable[[int], Any] | None = None

    def x(self, steps: int = STEPS) -> Any:
        """Return inputs of `BATCH` rows and `steps` steps."""
        if self.inputs is None:
            x = torch.randn(BATCH, steps, self.cell.input_size, generator=torch.Generator().manual_seed(4))
        else:
            x = _seeded(self.inputs, BATCH, steps)
        return self._as_weights(x)

    def context(self) -> Any:
        """Return a context for `BATCH` rows."""
        return None if self.contexts is None else self._as_weights(_seeded(self.contexts, BATCH))

    def state(self) -> Any:
        """Return a non-zero state that the cell can reach, which a random one might not be."""
        state, x = self.cell.initial_state(BATCH), self.x()
        for t in (STEPS - 1, STEPS - 2):
            at_t = map_state(lambda leaf, t=t: leaf[:, t] * 2 if leaf.is_floating_point() else leaf[:, t], x)
            _, state = self.step(at_t, state, self.context())
        return map_state(Tensor.detach, state)

    def step(self, x: Any, state: Any, context: Any) -> tuple[Tensor, Any]:
        """Run one step."""
        return self.cell(x, state) if context is None else self.cell(x, state, context=context)

    def of_rows(self, function: Callable[[Tensor], Tensor], context: Any) -> Any:
        """Apply `function` to those tensors of a context that belong to rows: they are longer for more rows."""
        if context is None or self.contexts is None:
            return context
        longer = _seeded(self.contexts, BATCH + 1)

        def applied(leaf: Tensor, more: Tensor) -> Tensor:
            return function(leaf) if leaf.shape[:1] != more.shape[:1] else leaf

        return map_state(applied, context, longer)

    def _as_weights(self, tree: Any) -> Any:
        dtype = next((p.dtype for p in self.cell.parameters()), state_leaves(self.cell.initial_state(1))[0].dtype)
        return map_state(lambda leaf: leaf.to(dtype) if leaf.is_floating_point() else leaf, tree)


def _seeded(make: Callable[..., Any], *sizes: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return make(*sizes)
