"""The partition of a step into the time loop and what runs once for all steps, before or after it.

Both directions are partitioned alike. What does not depend on the carry (the state; in the backward pass, its gradient)
and is costly, above all products, runs before the loop on all [T * B] rows at once. What the carry does not depend on
runs after it. A product of two per-step values without a batch axis, such as the gradient of a weight, is of the second
kind: over all rows, it is the product and the sum over time at once. The values to save between the directions are a
minimum cut.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import networkx
from torch import Tensor, fx

from rnnkit.engines.compiled.plan.products import matmul
from rnnkit.engines.compiled.plan.steady import late, made_once, moving
from rnnkit.engines.compiled.trace.graphs import (
    REDUCTIONS,
    ROWS,
    Untraceable,
    ancestors,
    arguments,
    aten,
    batch_axis,
    descendants,
    features,
    is_constant,
    is_costly,
    is_tensor,
    is_view,
    is_within_lanes,
    value,
)
from rnnkit.engines.compiled.trace.step import Step


@dataclass
class Hoisted:
    """A part that torch runs once, from `inputs` (and sums over all rows of `summed`) to `outputs`."""

    inputs: list[fx.Node]
    summed: list[fx.Node]
    outputs: list[fx.Node]
    function: Callable[..., list[Tensor]]

    def run(self, rows: int, values: dict[fx.Node, Tensor], sums: dict[fx.Node, Tensor] | None = None) -> None:
        """Compute the outputs and add them to `values`."""
        if self.outputs:
            given = [*(values[node] for node in self.inputs), *((sums or {})[node] for node in self.summed)]
            values.update(zip(self.outputs, self.function(rows, *given), strict=True))


@dataclass
class Direction:
    """The parts that run before, in and after one time loop.

    The loop reads `known` values, writes the `stored` ones at every step, and the sum over all rows and steps of the
    `summed` ones.
    """

    before: Hoisted
    after: Hoisted
    known: set[fx.Node]
    stored: list[fx.Node]
    summed: list[fx.Node]


@dataclass
class Partition:
    """The partition of a step.

    `weights` computes once what depends on parameters only; `context` computes once for each row what depends on the
    context only, which is then one of the `per_lane` values. `late` computes gradients from the sums of `late_sums`
    over all steps, once for each row.
    """

    weights: Hoisted
    context: Hoisted
    per_lane: set[fx.Node]
    forward: Direction
    backward: Direction | None
    late: Hoisted
    late_sums: list[fx.Node]


def partition(step: Step) -> Partition:
    """Partition a step.

    Raises:
        Untraceable: if the step does not fit the pattern.
    """
    grads = [*step.weight_grads.values(), *step.x_grads, *step.state_grads, *step.initial_grads, *step.context_grads]
    needed = ancestors([step.y, *step.new_state, *grads])
    tangents = descendants(step.tangents) & needed
    moves = moving(step)
    steady = descendants(step.context) - moves - {step.y, *step.new_state}
    calls = [node for node in step.graph.nodes if node.op == "call_function" and node in needed and is_tensor(node)]
    prologue, used = weight_values(step, [node for node in calls if node not in tangents], needed)
    once = made_once(steady, needed)
    context = _extract(once, lambda node: node in used or node in step.context)
    per_lane = {*step.initial, *step.context, *once}
    masks = [node for node in (step.valid, step.fresh) if node is not None]
    inputs = {*step.x, *step.state, *masks, *per_lane, *used}

    free = [node for node in calls if node not in tangents and node not in steady and batch_axis(node) is not None]
    is_worth = _Hoisting(step, {*step.context, *once})
    hoisted = [node for node in free if is_worth(node) and node not in descendants(step.state)]
    kept = _cheapest_cut(step, free, tangents, {*hoisted, *once}, set(once)) if tangents else []
    forward = _direction(
        is_worth,
        calls=[node for node in free if node in ancestors([step.y, *step.new_state, *kept])],
        carry=step.state,
        carried=step.new_state,
        results=[step.y, *kept],
        known=inputs | set(step.new_state),
    )
    # the loop itself computes the new state
    forward.known -= set(step.new_state) - inputs
    if not any(node is not None for node in grads):
        return Partition(prologue, context, per_lane, forward, None, _extract([], lambda _: False), [])
    end = late(step, tangents, moves)
    known = inputs | set(kept) | set(step.new_state)
    # the backward loop recomputes the values of the forward direction that are not saved
    again = (ancestors(tangents, known.__contains__) & set(free)) - known
    backward = _direction(
        is_worth,
        calls=[node for node in calls if node in tangents or node in again],
        carry=step.state_grad,
        carried=[*step.state_grads, *end.sums],
        results=[*step.x_grads, *(node for node in step.weight_grads.values() if node not in end.grads), *end.shared],
        known=known | set(step.tangents),
        passing={node for node in step.state_grad if node is not None},
    )
    ending = _extract(end.grads, lambda node: node in end.sums or node in end.shared or node in per_lane | used)
    return Partition(prologue, context, per_lane, forward, backward, ending, end.sums)


class _Hoisting:
    """A predicate `is_worth(node)`: whether a value should be computed for all steps at once.

    Products within rows, and products that would read an expanded context, are not: they would need a copy of the
    context for each step.
    """

    def __init__(self, step: Step, context: set[fx.Node]) -> None:
        self._context = context
        self._reading = descendants(step.context)

    def __call__(self, node: fx.Node) -> bool:
        if not is_costly(node) or node not in self._reading:
            return is_costly(node)
        copied = sum(prod(features(source)) for source in ancestors([node], self._context.__contains__) & self._context)
        factors = [factor for factor in arguments(node) if batch_axis(factor) is not None]
        return not is_within_lanes(node) and copied <= max(prod(features(factor)) for factor in factors)


def weight_values(step: Step, calls: list[fx.Node], needed: set[fx.Node]) -> tuple[Hoisted, set[fx.Node]]:
    """Return the part that depends on weights only, and those of its values, weights included, that other parts
    read.
    """
    weights = set(step.weights.values())
    constant = [node for node in calls if batch_axis(node) is None and not is_constant(node)]
    if descendants([*step.x, *step.state, *step.context]) & set(constant):
        raise Untraceable("a step mixes the rows of its batch")
    inner = set(constant)
    used = {node for node in (*weights, *constant) if any(u in needed and u not in inner for u in _readers(node))}
    return _extract([node for node in constant if node in used], lambda node: node in weights), used


def _direction(
    is_worth: Callable[[fx.Node], bool],
    calls: list[fx.Node],
    carry: Iterable[fx.Node | None],
    carried: Iterable[fx.Node | None],
    results: list[fx.Node | None],
    known: set[fx.Node],
    passing: set[fx.Node] = frozenset(),  # type: ignore[assignment]
) -> Direction:
    """Partition one direction, whose loop maps `carry` to `carried`; `passing` values exist in their step only."""
    inside, feeding = descendants(carry), ancestors(carried)
    batched = {node for node in calls if batch_axis(node) is not None}
    hoisted = [node for node in calls if node in batched and is_worth(node) and node not in inside]
    costly = {
        node
        for node in batched
        if is_costly(node) and not is_within_lanes(node) and node in inside and node not in feeding
    }
    late = descendants(costly) & batched
    before = _extract(hoisted, lambda node: node in known)
    known = known | set(hoisted)

    def is_loops(node: fx.Node) -> bool:
        """Whether the loop computes a value: views and cheap values without the carry are recomputed outside."""
        return node in batched and node not in late and not is_view(node)

    wanted = list(dict.fromkeys(node for node in results if node is not None and node not in known - passing))
    outside = [node for node in wanted if node in late or batch_axis(node) is None]
    sums = {node for node in calls if _sums_rows(node) and is_loops(arguments(node)[0])}
    after = _extract(outside, lambda node: node in known or is_loops(node), sums)
    stored = [*after.inputs, *(node for node in wanted if node not in outside)]
    stored = [node for node in dict.fromkeys(stored) if node not in known - passing]
    return Direction(before, after, known, stored, after.summed)


def _sums_rows(node: fx.Node) -> bool:
    return (
        node.target is aten.sum.dim_IntList and batch_axis(node) is None and batch_axis(arguments(node)[0]) is not None
    )


def _readers(node: fx.Node) -> Iterable[fx.Node]:
    """Yield the readers of a node's value, through the tuple of a split."""
    for user in node.users:
        yield from [user] if user.op == "output" or is_tensor(user) else user.users


def _cheapest_cut(
    step: Step, free: list[fx.Node], tangents: set[fx.Node], hoisted: set[fx.Node], once: set[fx.Node]
) -> list[fx.Node]:
    """Return the values to save for the backward loop, in the fewest bytes; pointwise operations are recomputed."""
    at_hand = {*step.x, *step.state, *step.initial, *step.new_state, *step.context, *once, step.valid, step.fresh}
    graph = networkx.DiGraph()
    inner = {*free, *(node for node in at_hand if node is not None)}
    for node in inner:
        size = 0 if node in at_hand else value(node).numel() * value(node).element_size()
        graph.add_edge((node, "in"), (node, "out"), capacity=size)
        if node.op == "placeholder" or is_costly(node) or node.target in REDUCTIONS or node in hoisted:
            graph.add_edge("source", (node, "in"))
        else:
            for argument in arguments(node):
                if argument in inner:
                    graph.add_edge((argument, "out"), (node, "in"))
        if any(user in tangents for user in _readers(node)):
            graph.add_edge((node, "out"), "sink")
    if "sink" not in graph or "source" not in graph:
        return []
    # of equal cuts, this is the one nearest to the sink: costly values are before it
    _, (before, after) = networkx.minimum_cut(graph, "source", "sink")
    return [node for node in free if (node, "in") in before and (node, "out") in after and node not in at_hand]


def _extract(outputs: list[fx.Node], stop: Callable[[fx.Node], bool], sums: Iterable[fx.Node] = ()) -> Hoisted:
    """Return the part of the graph that ends at `outputs` and begins at `stop`, for any number of rows."""
    sums = set(sums)
    part = fx.Graph()
    rows = part.placeholder("rows")
    copies: dict[fx.Node, Any] = {}
    inputs: list[fx.Node] = []
    summed: list[fx.Node] = []
    reached = ancestors(outputs, lambda node: stop(node) or node in sums)
    if outputs:
        order = [node for node in outputs[0].graph.nodes if node in reached]
        inputs = [node for node in order if stop(node)]
        summed = list(dict.fromkeys(arguments(node)[0] for node in order if node in sums and not stop(node)))
        copies = {node: part.placeholder(f"given_{i}") for i, node in enumerate(inputs)}
        totals = {node: part.placeholder(f"sum_{i}") for i, node in enumerate(summed)}
        for node in order:
            if node in copies:
                continue
            lookup = totals if node in sums else copies
            copy = copy_of(part, node, lookup, rows)
            if copy.target is aten.mm.default:
                copy.target = matmul
            copies[node] = copy
    part.output([copies[node] for node in outputs])
    return Hoisted(inputs, summed, outputs, fx.GraphModule({}, part).forward if outputs else lambda *_: [])


def copy_of(graph: fx.Graph, node: fx.Node, copies: dict[fx.Node, Any], rows: Any) -> fx.Node:
    """Copy a node to another graph, with another number of rows."""
    copy = graph.node_copy(node, copies.__getitem__)
    copy.args = fx.node.map_aggregate(copy.args, lambda arg: rows if arg == ROWS and type(arg) is int else arg)
    if copy.target in (aten.view.default, aten._unsafe_view.default):
        # no-op copies have been removed from the graph, and with them the strides that a view relied on
        copy.target = aten.reshape.default
    return copy
