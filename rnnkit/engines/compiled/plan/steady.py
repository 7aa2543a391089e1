"""Values that are constant over the steps of a window, because they depend on the context only; and sums over steps.

Values of a context and of weights are computed once. In the backward pass, if a gradient flows to the context, or to a
weight through it, by products with constant values, the sum over steps is computed before the products, so that they
are computed once.
"""

from collections.abc import Iterable
from typing import NamedTuple

from torch import fx

from rnnkit.engines.compiled.trace.graphs import (
    PRODUCTS,
    arguments,
    batch_axis,
    descendants,
    is_constant,
    is_random,
    is_tensor,
    is_view,
    operands,
    opname,
    value,
)
from rnnkit.engines.compiled.trace.step import Step


def moving(step: Step) -> set[fx.Node]:
    """Return the nodes whose values differ from step to step."""
    masks = [step.valid, step.fresh]
    drawn = [node for node in step.graph.nodes if is_random(node)]
    return descendants([*step.x, *step.state, *step.initial, *masks, *step.tangents, *drawn])


def made_once(steady: set[fx.Node], needed: set[fx.Node]) -> list[fx.Node]:
    """Return the constant values that a step reads, directly or through views."""
    bases: dict[fx.Node, None] = {}
    for node in needed:
        if node in steady and is_tensor(node) and any(user in needed and user not in steady for user in node.users):
            base = node
            while is_view(base):
                base = arguments(base)[0]
            if base.op == "call_function" and not is_constant(base):
                bases[base] = None
    return [node for node in next(iter(bases)).graph.nodes if node in bases] if bases else []


class Cut(NamedTuple):
    """The origin of a gradient: the values to sum over steps, and whether a product follows."""

    product: bool
    summed: tuple[fx.Node, ...]


class Sums:
    """The places where sums over steps can be computed on the way to a gradient."""

    def __init__(self, tangents: set[fx.Node], moving: set[fx.Node]) -> None:
        self._tangents, self._moving = tangents, moving
        self._cuts: dict[fx.Node, Cut] = {}

    def cut(self, node: fx.Node) -> Cut:
        """Return the values of which a gradient is a linear function that is constant over the steps.

        Without a product in the function, the cut is not worthwhile: the gradient itself is summed.
        """
        if node not in self._cuts:
            parts = [self.cut(source) for source in arguments(node) if source in self._tangents]
            product = node.target in PRODUCTS or any(part.product for part in parts)
            if product and self._is_linear(node):
                self._cuts[node] = Cut(True, tuple(dict.fromkeys(n for part in parts for n in part.summed)))
            else:
                self._cuts[node] = Cut(False, (_whole(node),))
        return self._cuts[node]

    def _is_linear(self, node: fx.Node) -> bool:
        """Whether a node is a linear function of gradients that is constant over the steps."""
        name, sources = opname(node), arguments(node)
        slopes = [source for source in sources if source in self._tangents]
        if any(source in self._moving for source in sources if source not in self._tangents):
            return False
        if is_view(node) or name in ("neg", "sum", "slice_backward"):
            return True
        if node.target in PRODUCTS or name in ("mul", "div"):
            return (
                len(slopes) == 1
                and [*operands(node)].count(slopes[0]) == 1
                and not node.kwargs
                and (name != "div" or operands(node)[0] is slopes[0])
            )
        if name in ("add", "sub"):
            return all(isinstance(part, fx.Node) and part in self._tangents for part in operands(node))
        if name == "cat":
            return all(self._vanishes(part) or part in self._tangents for part in operands(node)[0])
        if name == "where":
            condition, *branches = operands(node)
            return condition not in self._tangents and all(
                self._vanishes(part) or part in self._tangents for part in branches
            )
        return name == "_to_copy" and value(node).is_floating_point()

    def _vanishes(self, part: object) -> bool:
        return isinstance(part, fx.Node) and is_constant(part) and operands(part)[-1] == 0


def _whole(node: fx.Node) -> fx.Node:
    """Return the node that a view shows completely."""
    while is_view(node) and is_tensor(node) and value(arguments(node)[0]).numel() == value(node).numel():
        node = arguments(node)[0]
    return node


class Late(NamedTuple):
    """The end of a backward pass: `grads` are computed from `sums` over the steps, and from values without a batch
    axis.
    """

    grads: list[fx.Node]
    sums: list[fx.Node]
    shared: list[fx.Node]


def late(step: Step, tangents: set[fx.Node], moving: set[fx.Node]) -> Late:
    """Return the gradients that are computed from sums over steps."""
    context = [grad for grad in step.context_grads if grad is not None]
    if not step.context:
        return Late([], [], [])
    finder = Sums(tangents, moving)
    weights = [grad for grad in step.weight_grads.values() if grad in tangents and _has_rows(finder.cut(grad).summed)]
    grads = list(dict.fromkeys([*context, *weights]))
    found = dict.fromkeys(node for grad in grads for node in (finder.cut(grad).summed if grad in tangents else ()))
    return Late(
        grads,
        [node for node in found if batch_axis(node) is not None],
        [node for node in found if batch_axis(node) is None],
    )


def _has_rows(nodes: Iterable[fx.Node]) -> bool:
    return any(batch_axis(node) is not None for node in nodes)
