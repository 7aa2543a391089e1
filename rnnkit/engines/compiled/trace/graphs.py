"""Queries and simplifications of traced graphs."""

import operator
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, fx

aten = torch.ops.aten
OpOverload: Any = type(aten.add.Tensor)

ROWS = 1_000_003
"""The batch size of a trace: a large prime, so that an axis of this size must be the batch."""


class Untraceable(Exception):  # noqa: N818
    """Raised if a cell cannot be compiled, with the reason."""


SAME = {
    aten.alias.default, aten.detach.default, aten.clone.default, aten.contiguous.default, aten.lift_fresh_copy.default,
    aten.lift_fresh.default, aten._to_copy.default, aten.to.dtype, aten.expand.default, aten.view.default,
    aten._unsafe_view.default, aten.reshape.default, aten.permute.default,
}  # fmt: skip
"""Operations that are no-ops if shape, dtype and device do not change."""
VIEWS = {
    aten.view.default, aten._unsafe_view.default, aten.reshape.default, aten.permute.default, aten.expand.default,
    aten.unsqueeze.default, aten.squeeze.dims, aten.squeeze.dim, aten.slice.Tensor, aten.select.int, operator.getitem,
}  # fmt: skip
EMPTY = {aten.empty.memory_format, aten.empty_permuted.default}
CONSTANTS = {aten.full.default, aten.scalar_tensor.default, aten.full_like.default}
REDUCTIONS = {aten.sum.dim_IntList, aten.mean.dim, aten.amax.default, aten.amin.default}
PRODUCTS = {aten.mm.default, aten.bmm.default, aten.matmul.default, aten.tensordot.default}
"""Products as torch traces them; `matmul` and `tensordot` are products of rows that have several vectors each."""


def first_line(error: Exception) -> str:
    """Return the first line of an error message."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def value(node: fx.Node) -> Tensor:
    """Return the fake tensor of a node."""
    found = node.meta["val"]
    assert isinstance(found, Tensor)
    return found


def batch_axis(node: fx.Node) -> int | None:
    """Return the batch axis; None for values that all rows share."""
    if "batch" not in node.meta:
        node.meta["batch"] = _batch_axis(value(node).shape)
    axis: int | None = node.meta["batch"]
    return axis


def _batch_axis(shape: torch.Size) -> int | None:
    axes = [axis for axis, size in enumerate(shape) if size == ROWS]
    if len(axes) > 1 or any(size > ROWS and size % ROWS == 0 for size in shape):
        raise Untraceable("a step mixes the batch into another axis")
    return axes[0] if axes else None


def features(node: fx.Node) -> tuple[int, ...]:
    """Return the shape of one row."""
    axis = batch_axis(node)
    return tuple(size for i, size in enumerate(value(node).shape) if i != axis)


def is_tensor(node: fx.Node) -> bool:
    """Whether the value of a node is one tensor, not the tuple of a split."""
    return isinstance(node.meta.get("val"), Tensor)


def is_view(node: fx.Node) -> bool:
    """Whether a node is a view of another value."""
    return node.target in VIEWS


def is_constant(node: fx.Node) -> bool:
    """Whether a node is a constant number."""
    return node.target in CONSTANTS


def is_costly(node: fx.Node) -> bool:
    """Whether a node should run once for all steps: products, and random numbers, which come from torch's generator."""
    return node.target in PRODUCTS or is_random(node)


def is_within_lanes(node: fx.Node) -> bool:
    """Whether a node multiplies two values that belong to a row, such as a memory and a query."""
    return node.target in PRODUCTS and all(batch_axis(factor) is not None for factor in (node, *arguments(node)))


def is_random(node: fx.Node) -> bool:
    """Whether a node draws random numbers."""
    target = node.target
    seeded = isinstance(target, OpOverload) and torch.Tag.nondeterministic_seeded in target.tags
    return seeded and is_tensor(node)


def opname(node: fx.Node) -> str:
    """Return the name of the ATen operation; empty for other nodes."""
    target: Any = node.target
    return str(target.overloadpacket.__name__) if isinstance(target, OpOverload) else ""


def operands(node: fx.Node) -> tuple[Any, ...]:
    """Return the arguments of the operation, including numbers and lists."""
    return node.args


def arguments(node: fx.Node) -> list[fx.Node]:
    """Return the nodes that an operation reads, through the tuple of a split."""
    if node.target is operator.getitem:
        return arguments(operands(node)[0])
    return node.all_input_nodes


def reach(nodes: Iterable[fx.Node | None], onward: Callable[[fx.Node], Iterable[fx.Node]]) -> set[fx.Node]:
    """Return all nodes that can be reached, including the first ones."""
    seen: set[fx.Node] = set()
    pending = [node for node in nodes if node is not None]
    while pending:
        node = pending.pop()
        if node not in seen:
            seen.add(node)
            pending += onward(node)
    return seen


def ancestors(nodes: Iterable[fx.Node | None], stop: Callable[[fx.Node], bool] = lambda _: False) -> set[fx.Node]:
    """Return the nodes and everything they are computed from, up to nodes for which `stop` is true."""
    return reach(nodes, lambda node: [] if stop(node) else node.all_input_nodes)


def descendants(nodes: Iterable[fx.Node | None]) -> set[fx.Node]:
    """Return the nodes and everything that is computed from them."""
    return reach(nodes, lambda node: node.users)


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
