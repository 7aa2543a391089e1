"""Rewrites of a traced graph to fewer and simpler operations."""

from itertools import pairwise
from typing import Any

from torch import fx

from rnnkit.engines.compiled.trace.graphs import SAME, aten, is_random, operands, opname, value


def simplify(graph: fx.Graph) -> None:
    """Remove no-ops, and replace sums of padded slices by concatenations."""
    for node in list(graph.nodes):
        if node.target is aten.copy.default:
            _as_conversion(graph, node)
    for node in list(graph.nodes):
        if node.op == "call_function" and _changes_nothing(node):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    for node in reversed(list(graph.nodes)):
        if node.target is aten.add.Tensor and not any(_is_padding_sum(user) for user in node.users):
            _concatenate(graph, node)
    for node in list(graph.nodes):
        if node.target is aten.slice_backward.default and node.users:
            _concatenate(graph, node)
        if is_random(node):
            _draw_by_shape(graph, node)
    graph.eliminate_dead_code()


def _as_conversion(graph: fx.Graph, node: fx.Node) -> None:
    """Replace an in-place copy into a tensor by a conversion of the value to the tensor's shape and dtype."""
    with graph.inserting_before(node):
        wide = graph.call_function(aten.expand.default, (node.args[1], list(value(node).shape)))
        wide.meta["val"] = value(operands(node)[1]).expand(value(node).shape)
        written = graph.call_function(aten._to_copy.default, (wide,), {"dtype": value(node).dtype})
        written.meta["val"] = value(node)
    node.replace_all_uses_with(written)


def _draw_by_shape(graph: fx.Graph, node: fx.Node) -> None:
    """Make `rand_like(h)` independent of h: with the shape alone, it can be drawn for all steps at once."""
    options: dict[str, Any] = {"dtype": value(node).dtype, "device": value(node).device}
    draw = {"rand_like": aten.rand.default, "randn_like": aten.randn.default}.get(opname(node))
    if draw is not None:
        with graph.inserting_before(node):
            drawn = graph.call_function(draw, (list(value(node).shape),), options)
    elif node.target is aten.bernoulli.p:
        with graph.inserting_before(node):
            drawn = graph.call_function(aten.rand.default, (list(value(node).shape),), options)
            drawn.meta["val"] = value(node)
            drawn = graph.call_function(aten.lt.Scalar, (drawn, node.args[1]))
            drawn.meta["val"] = value(node).bool()
            drawn = graph.call_function(aten._to_copy.default, (drawn,), {"dtype": value(node).dtype})
    else:
        return
    drawn.meta["val"] = value(node)
    node.replace_all_uses_with(drawn)


def _changes_nothing(node: fx.Node) -> bool:
    if node.target not in SAME or not isinstance(node.args[0], fx.Node):
        return False
    before, after = node.args[0].meta["val"], node.meta["val"]
    if (before.shape, before.dtype, before.device) != (after.shape, after.dtype, after.device):
        return False
    return node.target is not aten.permute.default or list(operands(node)[1]) == sorted(operands(node)[1])


def _paddings(node: Any) -> list[fx.Node] | None:
    """Return the slice_backward nodes in a tree of additions; None if the tree has other nodes."""
    if not isinstance(node, fx.Node):
        return None
    if node.target is aten.slice_backward.default:
        return [node]
    if node.target is not aten.add.Tensor or node.kwargs:
        return None
    left, right = _paddings(operands(node)[0]), _paddings(operands(node)[1])
    return None if left is None or right is None else left + right


def _is_padding_sum(node: fx.Node) -> bool:
    return node.target is aten.add.Tensor and _paddings(node) is not None


def _concatenate(graph: fx.Graph, node: fx.Node) -> None:
    paddings = _paddings(node)
    if paddings is None:
        return
    dim = operands(paddings[0])[2]
    parts = [(_limits(padding), operands(padding)[0]) for padding in paddings]
    parts.sort(key=lambda part: part[0])
    size = value(node).shape[dim]
    disjoint = all(left[0][1] <= right[0][0] for left, right in pairwise(parts))
    if not disjoint or any(p.args[2] != dim or p.args[5] != 1 for p in paddings):
        return
    pieces: list[fx.Node] = []
    with graph.inserting_before(node):
        at = 0
        for (start, stop), part in [*parts, ((size, size), None)]:
            if start > at:
                shape = list(value(node).shape)
                shape[dim] = start - at
                options: dict[str, Any] = {"dtype": value(node).dtype, "device": value(node).device}
                gap = graph.call_function(aten.full.default, (shape, 0), options)
                gap.meta["val"] = value(node).narrow(dim, at, start - at)
                pieces.append(gap)
            if part is not None:
                pieces.append(part)
            at = stop
        whole = graph.call_function(aten.cat.default, (pieces, dim))
        whole.meta["val"] = value(node)
    node.replace_all_uses_with(whole)


def _limits(padding: fx.Node) -> tuple[int, int]:
    _, sizes, dim, start, stop, _ = operands(padding)
    size = sizes[dim]
    start, stop = (min(max(at + size if at < 0 else at, 0), size) for at in (start, stop))
    return start, stop
