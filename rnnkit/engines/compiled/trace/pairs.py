"""Complex values of rows as pairs of real ones, so that a back end needs no complex numbers."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from rnnkit.cells.base import Cell, State
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.cells.wrapper import Wrapper
from rnnkit.engines.compiled.trace.graphs import VIEWS, Untraceable, aten, batch_axis, operands, opname

Pair = tuple[fx.Node, fx.Node]


class RealView(Wrapper[State]):
    """A cell whose complex states are real tensors with one more axis, of size 2.

    >>> import torch
    >>> from rnnkit.cells import LRUCell
    >>> RealView(LRUCell(3, 5)).initial_state(1).shape
    torch.Size([1, 5, 2])
    """

    def __init__(self, cell: Cell[Any]) -> None:
        super().__init__(cell)
        with torch.no_grad():
            self._complex = [leaf.is_complex() for leaf in state_leaves(cell.initial_state(1))]

    def initial_state(self, batch_size: int) -> State:
        """Return the initial state as real numbers."""
        return map_state(_real, super().initial_state(batch_size))

    def forward(self, x: Any, state: State, context: Any = None) -> tuple[Tensor, State]:
        """Run one step of the cell."""
        kinds = iter(self._complex)
        given = map_state(lambda leaf: torch.view_as_complex(leaf) if next(kinds) else leaf, state)
        y_BO, after = self.inner(x, given, context)
        return y_BO, map_state(_real, after)


def has_complex_state(cell: Cell[Any]) -> bool:
    """Whether a tensor of the cell's state is complex."""
    with torch.no_grad():
        return any(leaf.is_complex() for leaf in state_leaves(cell.initial_state(1)))


def _real(leaf: Tensor) -> Tensor:
    return torch.view_as_real(leaf) if leaf.is_complex() else leaf


def as_pairs(graph: fx.Graph) -> None:
    """Replace each complex value of rows by its real and its imaginary part, in fake-tensor mode.

    Complex weights stay complex; the parts of them that rows read are computed with the weights.

    Raises:
        Untraceable: for an operation that has no such form here.
    """
    pairs: dict[fx.Node, Pair] = {}
    rewritten = False
    for node in list(graph.nodes):
        found = node.meta.get("val")
        if node.op != "call_function" or not isinstance(found, Tensor):
            continue
        sources = [arg for arg in node.all_input_nodes if arg in pairs]
        if not sources and not (found.is_complex() and batch_axis(node) is not None):
            continue
        rewritten = True
        rewriter = _Rewriter(graph, node, pairs)
        made = rewriter.made()
        if isinstance(made, tuple):
            pairs[node] = made
        else:
            node.replace_all_uses_with(made)
    if rewritten:
        graph.eliminate_dead_code()


class _Rewriter:
    """Makes the parts of one node, before it in the graph."""

    def __init__(self, graph: fx.Graph, node: fx.Node, pairs: dict[fx.Node, Pair]) -> None:
        self.graph, self.node, self.pairs = graph, node, pairs

    def made(self) -> Pair | fx.Node:
        """Return both parts, or a single node if the value is real."""
        node, name = self.node, opname(self.node)
        with self.graph.inserting_before(node):
            if name == "view_as_complex":
                (source,) = operands(node)
                return self._call(aten.select.int, source, -1, 0), self._call(aten.select.int, source, -1, 1)
            left, right = (*operands(node), None)[:2]
            if name in ("mul", "add") and left not in self.pairs:
                left, right = right, left  # the first factor is the one of rows
            re, im = self._parts(left)
            if name == "view_as_real":
                apart = [self._call(aten.unsqueeze.default, part, -1) for part in (re, im)]
                return self._call(aten.cat.default, apart, -1)
            if name in ("real", "imag"):
                return self._call(aten.alias.default, re if name == "real" else im)
            if name == "mul":
                return self._product(re, im, right)
            if name in ("add", "sub") and not node.kwargs:
                other = self._parts(right)
                target: Any = node.target
                return self._call(target, re, other[0]), self._call(target, im, other[1])
            if name in ("_conj", "conj_physical", "_conj_physical", "neg"):
                minus = self._call(aten.neg.default, im)
                return (self._call(aten.neg.default, re) if name == "neg" else re), minus
            if name and (node.target in VIEWS or name in ("clone", "alias")):
                view: Any = node.target
                rest = operands(node)[1:]
                return self._call(view, re, *rest), self._call(view, im, *rest)
        raise Untraceable(f"it uses {name} of complex numbers, which the compiler does not support")

    def _parts(self, operand: Any) -> tuple[Any, Any]:
        """Return real and imaginary part of an operand; a real one has the imaginary part 0."""
        if operand in self.pairs:
            return self.pairs[operand]
        if not isinstance(operand, fx.Node):
            return (operand.real, operand.imag) if isinstance(operand, complex) else (operand, 0.0)
        if not operand.meta["val"].is_complex():
            return operand, self._call(aten.mul.Tensor, operand, 0.0)
        both = self._call(aten.view_as_real.default, operand)
        return self._call(aten.select.int, both, -1, 0), self._call(aten.select.int, both, -1, 1)

    def _product(self, re: fx.Node, im: fx.Node, other: Any) -> Pair:
        mul = aten.mul.Tensor
        is_real = not isinstance(other, complex) and not (
            isinstance(other, fx.Node) and (other in self.pairs or other.meta["val"].is_complex())
        )
        if is_real:
            return self._call(mul, re, other), self._call(mul, im, other)
        c, d = self._parts(other)
        real = self._call(aten.sub.Tensor, self._call(mul, re, c), self._call(mul, im, d))
        return real, self._call(aten.add.Tensor, self._call(mul, re, d), self._call(mul, im, c))

    def _call(self, target: Callable[..., Tensor], *args: Any) -> fx.Node:
        node = self.graph.call_function(target, args)
        node.meta["val"] = target(*fx.node.map_arg(args, lambda arg: arg.meta["val"]))
        return node
