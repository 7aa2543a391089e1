"""The C++ statements that compute one element of a value inside a loop."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from rnnkit.engines.compiled.expressions import literal, pointwise, register_type
from rnnkit.engines.compiled.graphs import Untraceable, aten, batch_axis, features, is_constant, value
from rnnkit.engines.compiled.index import Index, flat, unflat

Where = list[Index | None]
"""An element of one lane: an index for every axis, None for the batch."""


class Reader:
    """Reads elements within one loop body, each once; `lines` are the statements so far.

    * `ranges`: how far each loop variable runs.
    * `load`: the expression for an element that stands in memory by now; None where it must be computed.
    """

    def __init__(self, ranges: dict[str, int], load: Callable[[fx.Node, Index], str | None]) -> None:
        self.ranges = ranges
        self.load = load
        self.lines: list[str] = []
        self.known: dict[Any, str] = {}
        self.computed: list[fx.Node] = []

    def read(self, node: fx.Node, where: Where) -> str:
        """The variable or literal that holds the element.

        Raises `Split` where the loop should run over more axes, `Untraceable` for an operation that is not known.
        """
        if is_constant(node):
            return literal(_constant(node), register_type(value(node).dtype))
        place = flat([at for at in where if at is not None], features(node))
        key = (node, place)
        if key not in self.known:
            expression = self.load(node, place)
            if expression is None and (source := self._through(node, where)) is not None:
                self.known[key] = self.read(*source)
            else:
                kind = register_type(value(node).dtype)
                if expression is None:
                    expression = self._compute(node, where, kind)
                    self.computed.append(node)
                self.known[key] = f"v{len(self.known)}"
                self.lines.append(f"const {kind} {self.known[key]} = {expression};")
        return self.known[key]

    def at(self, node: fx.Node, index: Sequence[Index]) -> Where:
        """The index of one lane's part, with the batch in its place."""
        where: Where = list(index)
        axis = batch_axis(node)
        if axis is not None:
            where.insert(axis, None)
        return where

    def _compute(self, node: fx.Node, where: Where, kind: str) -> str:
        if not isinstance(node.target, torch._ops.OpOverload):
            raise Untraceable(f"it uses {node.target}, which the compiler does not know")
        name = node.target._opname
        tensors = [arg for arg in node.args if isinstance(arg, fx.Node)]
        kinds = [k for k in (register_type(value(arg).dtype) for arg in tensors) if k != "bool"]
        number = kinds[0] if kinds and kind == "bool" else kind
        arguments = [
            self._argument(arg, node, where) if isinstance(arg, fx.Node) else literal(arg, number)  # type: ignore
            for arg in node.args
            if arg is not None
        ]
        if name == "_to_copy":
            expression: str | None = f"({kind}){arguments[0]}"
        elif name == "clamp":
            expression = _clamp(arguments[0], list(node.args[1:]), number)
        elif name == "div" and not node.kwargs and not kinds:
            expression = None
        else:
            expression = pointwise(name, arguments, dict(node.kwargs))
        if expression is None:
            raise Untraceable(f"it uses {name}, which the compiler does not know")
        if name == "div" and kind in ("float", "double") and "int64_t" in kinds:
            expression = f"({kind}){expression}"
        return f"to_bf16({expression})" if value(node).dtype == torch.bfloat16 else expression

    def _argument(self, argument: fx.Node, node: fx.Node, where: Where) -> str:
        return self.read(argument, _broadcast(argument, where))

    def _through(self, node: fx.Node, where: Where) -> tuple[fx.Node, Where] | None:
        """Where a view shows an element of; None for what is no view."""
        if node.target is operator.getitem:
            return _part(node, where)
        if not isinstance(node.target, torch._ops.OpOverload):
            return None
        source = node.args[0]
        if not isinstance(source, fx.Node):
            return None
        name, shape = node.target._opname, value(source).shape
        if name in ("view", "_unsafe_view", "reshape"):
            place = flat([at for at in where if at is not None], features(node))
            return source, self.at(source, unflat(place, features(source), self.ranges))
        if name == "expand":
            return source, _broadcast(source, where)
        if name == "permute":
            order = [axis % len(shape) for axis in node.args[1]]  # type: ignore[union-attr, operator]
            return source, [where[order.index(axis)] for axis in range(len(shape))]
        if name == "unsqueeze":
            axis = node.args[1] % len(where)  # type: ignore[operator]
            return source, where[:axis] + where[axis + 1 :]
        if name == "squeeze":
            given = node.args[1]
            axes = {axis % len(shape) for axis in (given if isinstance(given, (list, tuple)) else [given])}  # type: ignore
            remaining = iter(where)
            return source, [
                Index() if axis in axes and size == 1 else next(remaining) for axis, size in enumerate(shape)
            ]
        if name == "slice":
            axis, start, _, step = (*node.args[1:], *(0, 0, None, 1)[len(node.args) - 1 :])[:4]
            moved = list(where)
            axis, begin = axis % len(shape), int(start or 0)  # type: ignore[operator, call-overload]
            begin = max(begin + shape[axis], 0) if begin < 0 else begin
            if moved[axis] is not None:
                moved[axis] = moved[axis] * int(step) + begin  # type: ignore
            return source, moved
        if name == "select":
            axis, at = node.args[1] % len(shape), node.args[2] % shape[node.args[1]]  # type: ignore
            return source, [*where[:axis], Index({}, at), *where[axis:]]
        return None


def _broadcast(source: fx.Node, where: Where) -> Where:
    """The element of a smaller tensor that stands against one of a larger."""
    shape, axis = value(source).shape, batch_axis(source)
    last = where[len(where) - len(shape) :]
    return [
        at if i == axis else (Index() if size == 1 else at)
        for i, (size, at) in enumerate(zip(shape, last, strict=True))
    ]


def _part(node: fx.Node, where: Where) -> tuple[fx.Node, Where]:
    """Through one part of a split."""
    split, number = node.args
    assert isinstance(split, fx.Node)
    assert isinstance(number, int)
    source = split.args[0]
    assert isinstance(source, fx.Node)
    name = split.target._opname  # type: ignore[union-attr]
    axis = (split.args[2] if len(split.args) > 2 else 0) if name != "unbind" else (split.args[1:] or [0])[0]  # type: ignore
    axis %= value(source).dim()
    if name == "unbind":
        return source, [*where[:axis], Index({}, number), *where[axis:]]
    if name not in ("split", "split_with_sizes"):
        raise Untraceable(f"it uses {name}, which the compiler does not know")
    sizes = split.args[1]
    begin = sum(sizes[:number]) if isinstance(sizes, (list, tuple)) else number * sizes  # type: ignore
    moved = list(where)
    if moved[axis] is None:
        raise Untraceable("it splits the batch")
    moved[axis] = moved[axis] + begin  # type: ignore[operator]
    return source, moved


def _constant(node: fx.Node) -> Any:
    return node.args[-1]


def _clamp(argument: str, limits: list[Any], kind: str) -> str:
    low, high = (*limits, None, None)[:2]
    if isinstance(low, fx.Node) or isinstance(high, fx.Node):
        raise Untraceable("it clamps between tensors, which the compiler does not know")
    expression = argument if low is None else f"larger_({argument}, {literal(low, kind)})"
    return expression if high is None else f"smaller_({expression}, {literal(high, kind)})"
