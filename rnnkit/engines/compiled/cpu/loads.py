"""Generation of the C++ statements that compute one element of a value inside a loop."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from rnnkit.engines.compiled.cpu.expressions import literal, pointwise, register_type
from rnnkit.engines.compiled.cpu.index import Index, flat, unflat
from rnnkit.engines.compiled.trace.graphs import Untraceable, batch_axis, features, is_constant, operands, opname, value
from rnnkit.engines.compiled.trace.pointwise import POINTWISE

Where = list[Index | None]
"""An element of one row: an index for every axis, None for the batch."""


class Reader:
    """Reads elements in one loop body, each once; `lines` are the statements so far.

    Args:
        known: the variables of elements that have been read.
        ranges: the range of each loop variable.
        loose: divide indices at run time if nested loops cannot avoid it.
        load: returns the expression of an element in memory, or None if it must be computed.
    """

    def __init__(self, ranges: dict[str, int], load: Callable[[fx.Node, Index], str | None], loose: bool) -> None:
        self.ranges = ranges
        self.loose = loose
        self.load = load
        self.lines: list[str] = []
        self.known: dict[Any, str] = {}
        self.computed: list[fx.Node] = []

    def read(self, node: fx.Node, where: Where) -> str:
        """Return the variable or literal of the element.

        Raises:
            Split: if the loop should be split over axes.
            Untraceable: for an operation that is not supported.
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
        """Return the index of an element of one row, with the batch at its place."""
        where: Where = list(index)
        axis = batch_axis(node)
        if axis is not None:
            where.insert(axis, None)
        return where

    def _compute(self, node: fx.Node, where: Where, kind: str) -> str:
        name = opname(node)
        if name == "embedding":
            return self._row_of_table(node, where)
        if name not in POINTWISE:
            raise Untraceable(f"it uses {name or node.target}, which the compiler does not support")
        tensors = [arg for arg in node.args if isinstance(arg, fx.Node)]
        kinds = [k for k in (register_type(value(arg).dtype) for arg in tensors) if k != "bool"]
        number = kinds[0] if kinds and kind == "bool" else kind
        if number.startswith("int") and any(isinstance(arg, float) for arg in operands(node)):
            number = "double"
        arguments = [
            self.read(arg, _broadcast(arg, where)) if isinstance(arg, fx.Node) else literal(arg, number)
            for arg in operands(node)
            if arg is not None
        ]
        if name == "_to_copy":
            expression: str | None = f"({kind}){arguments[0]}"
        elif name == "clamp":
            limits = iter(arguments[1:])
            low, high = (None if arg is None else f"({kind}){next(limits)}" for arg in (*operands(node)[1:], None)[:2])
            expression = arguments[0] if low is None else f"larger_({arguments[0]}, {low})"
            expression = expression if high is None else f"smaller_({expression}, {high})"
        elif name == "div" and not node.kwargs and not kinds:
            expression = None
        elif name == "bitwise_not" and kind != "bool":
            expression = f"~{arguments[0]}"
        else:
            settings: dict[str, Any] = dict(node.kwargs)
            if settings.get("alpha", 1) != 1:
                # a Python number would convert float arithmetic to double
                settings["alpha"] = literal(settings["alpha"], number)
            expression = pointwise(name, arguments, settings)
        if expression is None:
            raise Untraceable(f"it uses {name}, which the compiler does not support")
        if name == "div" and kind in ("float", "double") and "int64_t" in kinds:
            expression = f"({kind}){expression}"
        return f"to_bf16({expression})" if value(node).dtype == torch.bfloat16 else expression

    def _row_of_table(self, node: fx.Node, where: Where) -> str:
        """Return the element of the row that an id selects; the id is limited to the rows of the table."""
        table, ids = operands(node)[:2]
        rows, width = value(table).shape
        given = self.read(ids, where[:-1])
        row = self.known.setdefault((table, given), f"v{len(self.known)}")
        line = f"const int64_t {row} = row_({given}, {rows});"
        if line not in self.lines:
            self.lines.append(line)
        column = where[-1]
        expression = None if column is None else self.load(table, Index({row: width}) + column)
        if expression is None:
            raise Untraceable("it selects rows of a table that every step computes")
        return expression

    def _through(self, node: fx.Node, where: Where) -> tuple[fx.Node, Where] | None:
        """Return the element that a view refers to; None if the node is not a view."""
        if node.target is operator.getitem:
            return _part(node, where)
        source, *rest = operands(node) or (None,)
        if not isinstance(source, fx.Node):
            return None
        name, shape = opname(node), value(source).shape
        if name in ("view", "_unsafe_view", "reshape"):
            place = flat([at for at in where if at is not None], features(node))
            return source, self.at(source, unflat(place, features(source), self.ranges, self.loose))
        if name == "expand":
            return source, _broadcast(source, where)
        if name == "permute":
            order = [axis % len(shape) for axis in rest[0]]
            return source, [where[order.index(axis)] for axis in range(len(shape))]
        if name == "unsqueeze":
            axis = rest[0] % len(where)
            return source, where[:axis] + where[axis + 1 :]
        if name == "squeeze":
            axes = {axis % len(shape) for axis in (rest[0] if isinstance(rest[0], (list, tuple)) else [rest[0]])}
            remaining = iter(where)
            return source, [
                Index() if axis in axes and size == 1 else next(remaining) for axis, size in enumerate(shape)
            ]
        if name == "slice":
            given: list[Any] = [*rest, *(0, 0, None, 1)[len(rest) :]]
            axis, start, _, step = given
            axis %= len(shape)
            begin = max((start or 0) + shape[axis], 0) if (start or 0) < 0 else (start or 0)
            return source, [at * step + begin if i == axis and at is not None else at for i, at in enumerate(where)]
        if name == "select":
            axis = rest[0] % len(shape)
            return source, [*where[:axis], Index({}, rest[1] % shape[axis]), *where[axis:]]
        return None


def _broadcast(source: fx.Node, where: Where) -> Where:
    """Return the element of a smaller tensor that is broadcast to one of a larger tensor."""
    shape, axis = value(source).shape, batch_axis(source)
    last = where[len(where) - len(shape) :]
    return [
        at if i == axis else (Index() if size == 1 else at)
        for i, (size, at) in enumerate(zip(shape, last, strict=True))
    ]


def _part(node: fx.Node, where: Where) -> tuple[fx.Node, Where]:
    """Return the element of the tensor that was split."""
    split, number = operands(node)
    source, *rest = operands(split)
    name = opname(split)
    if name == "unbind":
        axis = (rest[0] if rest else 0) % value(source).dim()
        return source, [*where[:axis], Index({}, number), *where[axis:]]
    if name not in ("split", "split_with_sizes"):
        raise Untraceable(f"it uses {name}, which the compiler does not support")
    sizes = rest[0]
    axis = (rest[1] if len(rest) > 1 else 0) % value(source).dim()
    begin = sum(sizes[:number]) if isinstance(sizes, (list, tuple)) else number * sizes
    if where[axis] is None:
        raise Untraceable("it splits the batch")
    return source, [at + begin if i == axis and at is not None else at for i, at in enumerate(where)]


def _constant(node: fx.Node) -> Any:
    return operands(node)[-1]
