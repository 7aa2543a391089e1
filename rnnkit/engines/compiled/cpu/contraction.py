"""Loop orders for sums, and for products of two tensors that both belong to a row."""

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from rnnkit.engines.compiled.cpu.index import Index
from rnnkit.engines.compiled.trace.graphs import aten, batch_axis, operands, value

MOST_TOTALS = 4096
"""The largest number of simultaneous sums on the stack of a thread."""
Loops = list[tuple[int, int]]
"""An axis and a size for each of some nested loops, the outermost first."""


def terms(product: fx.Node) -> tuple[fx.Node, int]:
    """Return the elementwise terms of a product [..., M, K, N], and the axis K that is summed."""
    if "terms" not in product.meta:
        left, right = operands(product)
        graph = product.graph
        with graph.inserting_before(product):
            factors = [_call(graph, aten.unsqueeze.default, left, value(left).dim())]
            axis = value(right).dim() - 2
            factors.append(_call(graph, aten.unsqueeze.default, right, axis))
            if value(product).dtype in (torch.bfloat16, torch.float16):
                factors = [_call(graph, aten._to_copy.default, factor, dtype=torch.float32) for factor in factors]
            product.meta["terms"] = _call(graph, aten.mul.Tensor, *factors)
    found = product.meta["terms"]
    return found, value(found).dim() - 2


def _call(graph: fx.Graph, target: Callable[..., Tensor], *args: Any, **options: Any) -> fx.Node:
    node = graph.call_function(target, args, options)
    node.meta["val"] = target(*fx.node.map_arg(args, lambda arg: arg.meta["val"]), **options)
    return node


def lane_axis(node: fx.Node, axis: int) -> int:
    """Convert an axis of a value to an axis of one row."""
    batch = batch_axis(node)
    return axis - (batch is not None and batch < axis)


def orders(shape: tuple[int, ...], summed: Iterable[int]) -> list[Loops]:
    """Return the loop orders in which sums over some axes can be computed, those with few simultaneous sums first.

    >>> orders((4, 5, 6), [1])
    [[(0, 4), (2, 6), (1, 5)], [(0, 4), (1, 5), (2, 6)], [(1, 5), (0, 4), (2, 6)]]
    """
    inner = set(summed)
    axes = [axis for axis, size in enumerate(shape) if size != 1]
    kept, reduced = [a for a in axes if a not in inner], [a for a in axes if a in inner]
    last = max(reduced, default=-1)
    found = [kept + reduced, [a for a in kept if a < last] + reduced + [a for a in kept if a > last], reduced + kept]
    unlike = list(dict.fromkeys(tuple(order) for order in found))
    return [
        [(axis, shape[axis]) for axis in order]
        for order in unlike
        if order == unlike[0] or _totals(order, inner, shape) <= MOST_TOTALS
    ]


def _totals(order: tuple[int, ...], summed: set[int], shape: tuple[int, ...]) -> int:
    last = max(n for n, axis in enumerate(order) if axis in summed)
    return prod(shape[axis] for axis in order[last + 1 :])


def leaps(places: Iterable[Index], innermost: str) -> int:
    """Return how many of these elements are not contiguous in memory along the innermost loop."""
    return sum(place.terms.get(innermost, 0) not in (0, 1) for place in places)
