"""The cell that a trace is made on: a copy, which no other thread meets while stand-ins are in its weights' place."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.engines.compiled.graphs import Untraceable, first_line
from rnnkit.engines.weights import ComputedWeight


def twin_of(
    cell: Cell[Any], weights: dict[str, Tensor], computed: list[ComputedWeight]
) -> tuple[Cell[Any], list[ComputedWeight]]:
    """The cell again with the same tensors, and what computes its weights.

    Raises `Untraceable` where an attribute cannot be copied.
    """
    tensors = (*weights.values(), *cell.parameters(), *cell.buffers())
    memo: dict[int, Any] = {id(tensor): tensor for tensor in tensors}
    try:
        twin = copy.deepcopy(cell, memo)
    except Exception as error:
        raise Untraceable(f"it cannot be copied ({first_line(error)})") from error
    return twin, [weight._replace(source=memo.get(id(weight.source), weight.source)) for weight in computed]


@contextmanager
def unchanged(cell: Cell[Any]) -> Iterator[None]:
    """Raise `Untraceable` where a step leaves something behind in the cell, as a list that grows."""
    before = {module: dict(vars(module)) for module in cell.modules()}
    sizes = {id(value): len(value) for kept in before.values() for value in kept.values() if isinstance(value, list)}
    yield
    for module, kept in before.items():
        now = vars(module)
        names = [name for name in {**kept, **now} if kept.get(name) is not now.get(name)]
        names += [name for name, value in kept.items() if isinstance(value, list) and len(value) != sizes[id(value)]]
        if names:
            raise Untraceable(f"its step changes {type(module).__name__}.{names[0]}")
