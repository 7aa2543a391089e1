"""One step of a loop as a graph of ATen operations that reads and writes slots of buffers."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from rnnkit.engines.compiled.plan.arguments import Argument, Place
from rnnkit.engines.compiled.plan.hoisted import copy_of
from rnnkit.engines.compiled.plan.layout import wide
from rnnkit.engines.compiled.plan.plan import Written
from rnnkit.engines.compiled.trace.graphs import (
    Untraceable,
    ancestors,
    arguments,
    aten,
    batch_axis,
    is_random,
    operands,
    opname,
    value,
)


class Loop:
    """A loop in the order of its steps: step k is between the slots k and k + 1 of a carry.

    `inputs` exist before the loop; `carries` are passed from one step to the next, including sums over steps; `outputs`
    are written by every step. `last` are products that only the next step reads, such as a state's gradient. They are
    not in `module` but run after it, directly into their slots: two factors and a result, as positions in `slots`.

    Raises:
        Untraceable: if a step cannot be part of a loop.
    """

    def __init__(self, known: dict[fx.Node, Place], written: Written, *, backward: bool) -> None:
        self.backward = backward
        stored = {node for node, place in written if place.argument.kind == "step"}
        # values that are stored at every step anyway are summed from there
        self.written = [(node, place) for node, place in written if place.argument.kind != "sum" or node not in stored]
        reached = ancestors([node for node, _ in self.written], lambda node: node in known)
        in_order = [node for node in self.written[0][0].graph.nodes if node in reached] if self.written else []
        self.known = {node: known[node] for node in in_order if node in known}
        self.nodes = [node for node in in_order if node not in known]
        for node in self.nodes:
            self._check(node)
        self.last = self._last_products()
        carried = {place.argument: None for _, place in self.written if place.argument.kind != "step"}
        self.carries = list(carried)
        self.outputs = [place.argument for _, place in self.written if place.argument.kind == "step"]
        self.inputs = list({place.argument: None for place in self.known.values() if place.argument not in carried})

    @property
    def arguments(self) -> list[Argument]:
        """All buffers."""
        return list(dict.fromkeys([*self.inputs, *self.carries, *self.outputs]))

    @property
    def slotted(self) -> list[Argument]:
        """The buffers with a slot for every step."""
        return [argument for argument in self.arguments if argument.kind not in ("shared", "row")]

    def slots(self) -> list[tuple[fx.Node, Argument, int]]:
        """Return the arguments of `module`: a node's value in a buffer, at slot k or at slot k + 1.

        Inputs come first, then the sums so far, then outputs.
        """
        begin, end = (1, 0) if self.backward else (0, 1)
        offsets = {"t": 0, "before": 0, "after": 1, "now": begin, "next": end, "": 0}
        read = [(node, place.argument, offsets[place.at]) for node, place in self.known.items()]
        sums = [(node, place.argument, begin) for node, place in self.written if _is_sum(place)]
        written = [(node, place.argument, end if _is_sum(place) else offsets[place.at]) for node, place in self.written]
        return [*read, *sums, *written]

    def module(self, rows: int) -> fx.GraphModule:
        """Return the step for a number of rows, without its `last` products: a function of views, one for each slot."""
        graph = fx.Graph()
        copies: dict[fx.Node, Any] = {node: graph.placeholder(f"read_{n}") for n, node in enumerate(self.known)}
        sums = {
            place.argument: graph.placeholder(f"sum_{n}") for n, (_, place) in enumerate(self.written) if _is_sum(place)
        }
        targets = [graph.placeholder(f"written_{n}") for n in range(len(self.written))]
        done_later = {self.slots()[result][0] for *_, result in self.last}
        for node in self.nodes:
            if node not in done_later:
                copies[node] = copy_of(graph, node, copies, rows)
        for (node, place), target in zip(self.written, targets, strict=True):
            if node in done_later:
                continue
            result = copies[node]
            if _is_sum(place):
                # type promotion makes it wide
                result = graph.call_function(aten.add.Tensor, (sums[place.argument], result))
            graph.call_function(aten.copy_.default, (target, result))
        graph.output(())
        return fx.GraphModule({}, graph)

    def whole(self, step: Callable[..., object]) -> Callable[..., object]:
        """Return `module`, or a compiled form of it, followed by the last products."""
        last = self.last
        if not last:
            return step

        def step_and_products(*views: Tensor) -> None:
            step(*views)
            for left, right, result in last:
                torch.mm(views[left], views[right], out=views[result])

        return step_and_products

    def _last_products(self) -> list[tuple[int, int, int]]:
        places = {node: n for n, node in enumerate(self.known)}
        first = len(self.known) + sum(_is_sum(place) for _, place in self.written)
        written = [(node, first + n) for n, (node, place) in enumerate(self.written) if not _is_sum(place)]
        inside, results = set(self.nodes), [node for node, _ in self.written]
        found = []
        for node, at in written:
            alone = results.count(node) == 1 and not inside & set(node.users) and node in inside
            if alone and node.target is aten.mm.default and batch_axis(node) == 0:
                # a factor that the step itself writes is in its slot by then
                left, right = (places.get(factor, dict(written).get(factor)) for factor in operands(node))
                if left is not None and right is not None:
                    found.append((left, right, at))
        return found

    def _check(self, node: fx.Node) -> None:
        if node.op != "call_function":
            raise Untraceable("a value of a step is not available when its loop runs")
        if is_random(node):
            raise Untraceable(f"it uses {opname(node)} of a value that depends on its state")
        is_shared = isinstance(node.meta.get("val"), torch.Tensor) and batch_axis(node) is None
        if is_shared and any(batch_axis(source) is not None for source in arguments(node)):
            raise Untraceable("a step mixes the rows of its batch")


def buffer_dtype(argument: Argument) -> torch.dtype:
    """Return the dtype of a buffer: sums over many steps are wide."""
    return wide(argument.node) if argument.kind in ("sum", "row sum") else value(argument.node).dtype


def _is_sum(place: Place) -> bool:
    return place.argument.kind in ("sum", "row sum")
