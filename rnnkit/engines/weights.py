"""Weights that are computed and not stored (`torch.nn.utils.parametrize`): once a scan, whatever the engine.

Weight drop, weight norm, orthogonal and spectral weights are functions of what is stored. A step that reads such a
weight would compute it at every step, and where it is random, differently. torch's own `parametrize.cached()` forgets
when it is left, and a backward pass that computes steps again needs the same tensors.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, cast

from torch import Tensor
from torch.nn.utils.parametrize import ParametrizationList

from rnnkit.cells.base import Cell
from rnnkit.compat.torch import own_modules


class ComputedWeight(NamedTuple):
    """One weight of a cell: its dotted name there, what computes it, and what came out."""

    name: str
    source: ParametrizationList
    value: Tensor


def computed_weights(cell: Cell[Any]) -> list[ComputedWeight]:
    """Every computed weight of a cell, computed; most cells have none.

    >>> from rnnkit.cells import LSTMCell, WeightDrop
    >>> [weight.name for weight in computed_weights(WeightDrop(LSTMCell(3, 5), p=0.5))]
    ['cell.weight_hh']
    """
    # A plain cell has no module inside it: no time is spent on looking further.
    if not own_modules(cell):
        return []
    # Read from the module, so that a `parametrize.cached()` around the scan is heard.
    return [
        ComputedWeight(f"{prefix}.{name}".lstrip("."), source, getattr(module, name))
        for prefix, module in cell.named_modules()
        if "parametrizations" in own_modules(module)
        for name, source in cast(Any, module).parametrizations.items()
    ]


@contextmanager
def held(weights: Sequence[ComputedWeight]) -> Iterator[None]:
    """Let every read of these weights give these very tensors."""
    before = [vars(weight.source).get("forward") for weight in weights]
    for weight in weights:
        vars(weight.source)["forward"] = partial(_given, weight.value)
    try:
        yield
    finally:
        for weight, forward in zip(weights, before, strict=True):
            if forward is None:
                del vars(weight.source)["forward"]
            else:
                vars(weight.source)["forward"] = forward


def _given(value: Tensor) -> Tensor:
    return value
