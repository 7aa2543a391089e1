"""The cheapest cut of a graph: what a backward loop reads from the forward one, and what it computes again."""

from collections.abc import Iterable

import networkx
from torch import fx

from rnnkit.engines.compiled.trace.graphs import (
    REDUCTIONS,
    arguments,
    is_costly,
    is_tensor,
    value,
)
from rnnkit.engines.compiled.trace.step import Step


def readers(node: fx.Node) -> Iterable[fx.Node]:
    """Yield the readers of a node's value, through the tuple of a split."""
    for user in node.users:
        yield from [user] if user.op == "output" or is_tensor(user) else user.users


def cheapest_cut(
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
        if any(user in tangents for user in readers(node)):
            graph.add_edge((node, "out"), "sink")
    if "sink" not in graph or "source" not in graph:
        return []
    # of equal cuts, this is the one nearest to the sink: costly values are before it
    _, (before, after) = networkx.minimum_cut(graph, "source", "sink")
    return [node for node in free if (node, "in") in before and (node, "out") in after and node not in at_hand]
