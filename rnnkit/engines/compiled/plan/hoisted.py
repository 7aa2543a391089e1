"""Parts of a step that run once for all steps, before or after the loop."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from rnnkit.engines.compiled.plan.products import matmul
from rnnkit.engines.compiled.trace.graphs import (
    SENTINEL_BATCH,
    ancestors,
    arguments,
    aten,
)


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


def extract(outputs: list[fx.Node], stop: Callable[[fx.Node], bool], sums: Iterable[fx.Node] = ()) -> Hoisted:
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
    copy.args = fx.node.map_aggregate(
        copy.args, lambda arg: rows if arg == SENTINEL_BATCH and type(arg) is int else arg
    )
    if copy.target in (aten.view.default, aten._unsafe_view.default):
        # no-op copies have been removed from the graph, and with them the strides that a view relied on
        copy.target = aten.reshape.default
    return copy
