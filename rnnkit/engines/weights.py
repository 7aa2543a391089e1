"""Computed weights (`torch.nn.utils.parametrize`), which are computed once for each scan with any engine.

Weight drop, weight norm, orthogonal and spectral weights are functions of the stored parameters. A step that reads such
a weight would compute it at every step, and random ones differently. torch's own `parametrize.cached()` drops its
values at its end, but a backward pass that recomputes steps needs the same tensors.
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
    """A computed weight of a cell: its dotted name, the module that computes it, and its value."""

    name: str
    source: ParametrizationList
    value: Tensor


def computed_weights(cell: Cell[Any]) -> list[ComputedWeight]:
    """Compute and return all computed weights of a cell; most cells have none.

    >>> from rnnkit.cells import LSTMCell, WeightDrop
    >>> [weight.name for weight in computed_weights(WeightDrop(LSTMCell(3, 5), p=0.5))]
    ['cell.weight_hh']
    """
    # a plain cell has no submodules: nothing to search
    if not own_modules(cell):
        return []
    # read from the module, so that a `parametrize.cached()` around the scan is respected
    return [
        ComputedWeight(f"{prefix}.{name}".lstrip("."), source, getattr(module, name))
        for prefix, module in cell.named_modules()
        if "parametrizations" in own_modules(module)
        for name, source in cast(Any, module).parametrizations.items()
    ]


@contextmanager
def fixed_weights(weights: Sequence[ComputedWeight]) -> Iterator[None]:
    """Make every read of these weights return their values."""
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
