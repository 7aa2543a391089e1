"""Queries and simplifications of traced graphs."""

import operator
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, fx

aten = torch.ops.aten
OpOverload: Any = type(aten.add.Tensor)

SENTINEL_BATCH = 1_000_003
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
    axes = [axis for axis, size in enumerate(shape) if size == SENTINEL_BATCH]
    if len(axes) > 1 or any(size > SENTINEL_BATCH and size % SENTINEL_BATCH == 0 for size in shape):
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


def is_within_rows(node: fx.Node) -> bool:
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
