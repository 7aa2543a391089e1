"""Separation of axes into which torch has merged the batch with another axis.

`linear(x_BSD)` is a product of [B * S, D], and attention with several heads one of B * heads matrices. Every row has S
or heads vectors there. With a separate batch axis, the rest of the compiler needs no special cases.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

from torch import Tensor, fx

from rnnkit.engines.compiled.trace.graphs import (
    CONSTANTS,
    REDUCTIONS,
    SENTINEL_BATCH,
    Untraceable,
    aten,
    operands,
    opname,
    value,
)
from rnnkit.engines.compiled.trace.pointwise import POINTWISE

RESHAPES = {aten.view.default, aten._unsafe_view.default, aten.reshape.default}
MIXED = "a step mixes the batch into another axis"


def separate(graph: fx.Graph) -> bool:
    """Rewrite every operation on a merged axis; return whether there was any.

    Raises:
        Untraceable: if that is impossible.
    """
    apart = _Apart(graph)
    for node in list(graph.nodes):
        if node.op == "call_function" and apart.concerns(node):
            apart.rewrite(node)
    graph.eliminate_dead_code()
    return bool(apart.new)


def merged_axis(node: Any) -> int | None:
    """Return the axis that has the vectors of all rows in sequence; None if there is none."""
    found = node.meta.get("val") if isinstance(node, fx.Node) else None
    if not isinstance(found, Tensor):
        return None
    axes = [axis for axis, size in enumerate(found.shape) if size > SENTINEL_BATCH and size % SENTINEL_BATCH == 0]
    if len(axes) > 1:
        raise Untraceable(MIXED)
    return axes[0] if axes else None


class _Apart:
    """The rewritten nodes of a graph: `new` maps each merged node to its counterpart with one more axis."""

    def __init__(self, graph: fx.Graph) -> None:
        self.graph = graph
        self.new: dict[fx.Node, fx.Node] = {}

    def concerns(self, node: fx.Node) -> bool:
        """Whether a node has a merged axis, or reads one."""
        return merged_axis(node) is not None or any(source in self.new for source in node.all_input_nodes)

    def rewrite(self, node: fx.Node) -> None:
        """Rewrite one operation."""
        with self.graph.inserting_before(node):
            result = self._rewritten(node)
        if tuple(value(result).shape) != _split(value(node).shape):
            raise Untraceable(MIXED)
        if merged_axis(node) is None:
            node.replace_all_uses_with(result)
        else:
            self.new[node] = result

    def _rewritten(self, node: fx.Node) -> fx.Node:
        if node.target in RESHAPES:
            return self._reshaped(self._apart(operands(node)[0]), _split(value(node).shape))
        if node.target is aten.permute.default:
            source, order = operands(node)
            merged = merged_axis(source)
            wide = [_shifted(axis % len(order), merged) for axis in order]
            at = wide.index(merged)  # type: ignore[arg-type]
            return self._call(node.target, self._apart(source), [*wide[: at + 1], merged + 1, *wide[at + 1 :]])  # type: ignore[operator]
        if node.target in (aten.mm.default, aten.bmm.default):
            return self._product(*operands(node))
        if node.target in (*CONSTANTS, aten.rand.default, aten.randn.default):
            shape = list(_split(value(node).shape))
            first = self._apart(node.args[0]) if isinstance(node.args[0], fx.Node) else shape
            return self._call(node.target, first, *node.args[1:], **node.kwargs)
        if node.target in REDUCTIONS:
            return self._reduced(node)
        if node.target is aten.expand.default:
            rank = len(value(node).shape)
            return self._call(
                node.target, self._aligned(operands(node)[0], node, rank), list(_split(value(node).shape))
            )
        if opname(node) in POINTWISE:
            rank = len(value(node).shape)
            args = [self._aligned(arg, node, rank) if isinstance(arg, fx.Node) else arg for arg in node.args]
            return self._call(node.target, *args, **node.kwargs)
        if node.target in (aten.unsqueeze.default, aten.squeeze.dims, aten.squeeze.dim):
            return self._reshaped(self._apart(operands(node)[0]), _split(value(node).shape))
        if node.target in (aten.slice.Tensor, aten.select.int):
            source, axis, *rest = operands(node)
            merged, axis = merged_axis(source), axis % value(source).dim()
            if axis != merged:
                return self._call(node.target, self._apart(source), _shifted(axis, merged), *rest)
        raise Untraceable(MIXED)

    def _product(self, left: fx.Node, right: fx.Node) -> fx.Node:
        a, b = merged_axis(left), merged_axis(right)
        last = value(left).dim() - 1
        if a is None and b is not None and b == last:
            turned = self._product(self._turned(right), self._turned(left))
            # [..., B, S, M] as [..., M, B, S]
            rank = value(turned).dim()
            return self._call(aten.permute.default, turned, [*range(rank - 3), rank - 1, rank - 3, rank - 2])
        if a == last and b == last - 1:
            (M, rows), N = value(left).shape[-2:], value(right).shape[-1]
            if last == 1 and rows // SENTINEL_BATCH * (M + N) < M * N:
                return self._call(aten.tensordot.default, self._apart(left), self._apart(right), [1, 2], [0, 1])
            # if there is little, storing the sum of each row needs less memory than the factors
            front = [a, *(axis for axis in range(last + 2) if axis != a)]
            by_row = self._call(aten.permute.default, self._apart(left), front)
            front = [b, *(axis for axis in range(last + 2) if axis != b)]
            other = self._call(aten.permute.default, self._apart(right), front)
            return self._call(aten.sum.dim_IntList, self._matmul(by_row, other), [0])
        if a == last - 1 and b is None:
            weights = self._call(aten.unsqueeze.default, right, 1) if last == 2 else right
            return self._matmul(self._apart(left), weights)
        if a == b == 0 and last == 2:
            return self._matmul(self._apart(left), self._apart(right))
        raise Untraceable(MIXED)

    def _matmul(self, left: fx.Node, right: fx.Node) -> fx.Node:
        # an outer product is pointwise
        outer = value(left).shape[-1] == 1
        return self._call(aten.mul.Tensor if outer else aten.matmul.default, left, right)

    def _turned(self, matrix: fx.Node) -> fx.Node:
        """Return the transpose, merged or not."""
        rank = value(matrix).dim()
        order = [*range(rank - 2), rank - 1, rank - 2]
        turned = self._call(aten.permute.default, matrix, order)
        merged = merged_axis(matrix)
        if merged is not None:
            wide = [*range(rank - 2), rank - 1, rank, rank - 2] if merged == rank - 1 else None
            if wide is None:
                raise Untraceable(MIXED)
            self.new[turned] = self._call(aten.permute.default, self._apart(matrix), wide)
        return turned

    def _reduced(self, node: fx.Node) -> fx.Node:
        source, *rest = operands(node)
        merged, shape = merged_axis(source), value(source).shape
        axes = {axis % len(shape) for axis in (rest[0] if rest and rest[0] else range(len(shape)))}
        wide = sorted({_shifted(axis, merged) for axis in axes if axis != merged})
        within: Sequence[int] = [*wide, merged + 1] if merged in axes else wide  # type: ignore[operator]
        result = self._call(node.target, self._apart(source), sorted(within), False)
        if merged in axes:
            # rows last: the rest of each is small
            at = merged - sum(axis < merged for axis in wide)  # type: ignore[operator]
            result = self._call(node.target, result, [at], False)
        return self._reshaped(result, _split(value(node).shape))

    def _apart(self, node: fx.Node) -> fx.Node:
        return self.new.get(node, node)

    def _aligned(self, source: fx.Node, node: fx.Node, rank: int) -> fx.Node:
        """Separate the axis of an operand that is broadcast to a merged axis."""
        if source in self.new:
            return self.new[source]
        merged = merged_axis(node)
        at = merged - (rank - value(source).dim()) if merged is not None else -1
        return self._call(aten.unsqueeze.default, source, at) if at >= 0 else source

    def _reshaped(self, source: fx.Node, shape: Sequence[int]) -> fx.Node:
        if prod(shape) != value(source).numel():
            raise Untraceable(MIXED)
        return self._call(aten.reshape.default, source, list(shape))

    def _call(self, target: Any, *args: Any, **options: Any) -> fx.Node:
        node = self.graph.call_function(target, args, options)
        values = fx.node.map_arg(args, lambda arg: arg.meta["val"])
        node.meta["val"] = target(*values, **options)
        return node


def _split(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(
        part for size in shape for part in ((SENTINEL_BATCH, size // SENTINEL_BATCH) if _merges(size) else (size,))
    )


def _merges(size: int) -> bool:
    return size > SENTINEL_BATCH and size % SENTINEL_BATCH == 0


def _shifted(axis: int, merged: int | None) -> int:
    return axis + (merged is not None and axis > merged)
