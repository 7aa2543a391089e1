"""A check that a traced step computes its rows independently, so that all steps of a window can run as one batch."""

import operator
from collections.abc import Iterable
from math import prod
from typing import Any

from torch import fx

from rnnkit.engines.compiled.trace.graphs import (
    CONSTANTS,
    EMPTY,
    PRODUCTS,
    REDUCTIONS,
    SENTINEL_BATCH,
    Untraceable,
    arguments,
    aten,
    batch_axis,
    is_random,
    is_tensor,
    is_view,
    operands,
    opname,
    value,
)
from rnnkit.engines.compiled.trace.pointwise import POINTWISE

SPLITS = {"split", "split_with_sizes", "unbind"}
WITHIN_ROWS = {
    *CONSTANTS,
    *EMPTY,
    *PRODUCTS,
    *REDUCTIONS,
    aten.cat.default,
    aten.embedding.default,
    aten.slice_backward.default,
    operator.getitem,
}
"""Operations, besides views and pointwise ones, that keep rows apart if the batch is an axis of their result."""


def check_batch_independence(nodes: Iterable[fx.Node], tangents: set[fx.Node]) -> None:
    """Raise `Untraceable` if rows depend on each other, or share values that must differ between steps.

    Gradients, `tangents` and their descendants, may be summed over the rows: shared values have a single gradient.
    """
    for node in nodes:
        if node.op != "call_function" or not is_tensor(node):
            continue
        batch = batch_axis(node)
        sources = [source for source in arguments(node) if batch_axis(source) is not None]
        if batch is None and is_random(node):
            raise Untraceable("it draws random numbers in every step that are the same for all rows")
        if batch is None and sources and node not in tangents:
            raise Untraceable("it mixes the rows of a batch")
        if any(type(arg) in (int, float) and arg == SENTINEL_BATCH for arg in (*operands(node), *node.kwargs.values())):
            raise Untraceable("it computes with the batch size")
        if batch is None:
            continue
        if node.target is operator.getitem and opname(operands(node)[0]) not in SPLITS:
            raise Untraceable(f"it uses {opname(operands(node)[0])}, which the compiler does not support")
        if not (is_view(node) or is_random(node) or node.target in WITHIN_ROWS or opname(node) in POINTWISE):
            raise Untraceable(f"it uses {opname(node)}, which the compiler does not support")
        if sources and _is_reshaping(node) and _before(sources[0]) != _before(node):
            raise Untraceable("a step mixes the batch into another axis")


def _is_reshaping(node: fx.Node) -> bool:
    return node.target in (aten.view.default, aten._unsafe_view.default, aten.reshape.default)


def _before(node: fx.Node) -> Any:
    """Return the number of elements between the parts of two rows, from the left."""
    return prod(value(node).shape[: batch_axis(node)])
