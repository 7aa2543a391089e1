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

from torch import fx

from rnnkit.engines.compiled.plan.cut import cheapest_cut, readers
from rnnkit.engines.compiled.plan.hoisted import Hoisted, extract
from rnnkit.engines.compiled.plan.steady import late, made_once, moving
from rnnkit.engines.compiled.trace.graphs import (
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
    is_within_rows,
)
from rnnkit.engines.compiled.trace.step import Step


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
    context only, which is then one of the `per_row` values. `late` computes gradients from the sums of `late_sums`
    over all steps, once for each row.
    """

    weights: Hoisted
    context: Hoisted
    per_row: set[fx.Node]
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
    context = extract(once, lambda node: node in used or node in step.context)
    per_row = {*step.initial, *step.context, *once}
    masks = [node for node in (step.valid, step.fresh) if node is not None]
    inputs = {*step.x, *step.state, *masks, *per_row, *used}

    free = [node for node in calls if node not in tangents and node not in steady and batch_axis(node) is not None]
    is_worth = _Hoisting(step, {*step.context, *once})
    hoisted = [node for node in free if is_worth(node) and node not in descendants(step.state)]
    kept = cheapest_cut(step, free, tangents, {*hoisted, *once}, set(once)) if tangents else []
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
        return Partition(prologue, context, per_row, forward, None, extract([], lambda _: False), [])
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
    ending = extract(end.grads, lambda node: node in end.sums or node in end.shared or node in per_row | used)
    return Partition(prologue, context, per_row, forward, backward, ending, end.sums)


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
        return not is_within_rows(node) and copied <= max(prod(features(factor)) for factor in factors)


def weight_values(step: Step, calls: list[fx.Node], needed: set[fx.Node]) -> tuple[Hoisted, set[fx.Node]]:
    """Return the part that depends on weights only, and those of its values, weights included, that other parts
    read.
    """
    weights = set(step.weights.values())
    constant = [node for node in calls if batch_axis(node) is None and not is_constant(node)]
    if descendants([*step.x, *step.state, *step.context]) & set(constant):
        raise Untraceable("a step mixes the rows of its batch")
    inner = set(constant)
    used = {node for node in (*weights, *constant) if any(u in needed and u not in inner for u in readers(node))}
    return extract([node for node in constant if node in used], lambda node: node in weights), used


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
        if is_costly(node) and not is_within_rows(node) and node in inside and node not in feeding
    }
    late = descendants(costly) & batched
    before = extract(hoisted, lambda node: node in known)
    known = known | set(hoisted)

    def is_loops(node: fx.Node) -> bool:
        """Whether the loop computes a value: views and cheap values without the carry are recomputed outside."""
        return node in batched and node not in late and not is_view(node)

    wanted = list(dict.fromkeys(node for node in results if node is not None and node not in known - passing))
    outside = [node for node in wanted if node in late or batch_axis(node) is None]
    sums = {node for node in calls if _sums_rows(node) and is_loops(arguments(node)[0])}
    after = extract(outside, lambda node: node in known or is_loops(node), sums)
    stored = [*after.inputs, *(node for node in wanted if node not in outside)]
    stored = [node for node in dict.fromkeys(stored) if node not in known - passing]
    return Direction(before, after, known, stored, after.summed)


def _sums_rows(node: fx.Node) -> bool:
    return (
        node.target is aten.sum.dim_IntList and batch_axis(node) is None and batch_axis(arguments(node)[0]) is not None
    )
