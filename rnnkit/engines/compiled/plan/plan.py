"""The plan of a compiled step: its two loops, the places of all values, and the values that are saved."""

from abc import ABC, abstractmethod
from typing import Any

from torch import fx

from rnnkit.engines.compiled.plan.arguments import Argument, Place
from rnnkit.engines.compiled.plan.partition import Direction, partition
from rnnkit.engines.compiled.trace.graphs import aten, batch_axis, value
from rnnkit.engines.compiled.trace.step import Step

Written = list[tuple[fx.Node, Place]]


class Plan(ABC):
    """The partition of a step and its two loops, which subclasses generate.

    Raises:
        Untraceable: if the step cannot be compiled.
    """

    def __init__(self, step: Step, *, backward: bool, states: bool) -> None:
        self.step = step
        self.returns_states = states
        self.partition = partition(step)
        forward, after = self.partition.forward, self.partition.forward.after
        # a state is stored at every step if anything reads it
        self.kept = [
            backward or states or step.y in (old, new) or new in after.inputs or old in after.inputs
            for old, new in zip(step.state, step.new_state, strict=True)
        ]
        known = {node: self._place(node, forward) for node in forward.known}
        written: Written = [(node, Place(Argument("step", node), "t")) for node in forward.stored]
        for old, new, kept in zip(step.state, step.new_state, self.kept, strict=True):
            argument = Argument("history" if kept else "turn", old)
            known[old] = Place(argument, "before" if kept else "now")
            written.append((new, Place(argument, "after" if kept else "next")))
        self.forward_loop = self.loop("forward", known, written)
        self.saved: list[fx.Node] = []
        if self.partition.backward is not None:
            self.backward_loop = self.loop("backward", *self._backward_places(self.partition.backward))
            self.saved = self._saved(self.partition.backward)

    @abstractmethod
    def loop(self, name: str, known: dict[fx.Node, Place], written: Written) -> Any:
        """Return the loop that computes the `written` values of a step from the `known` ones; it has `arguments`."""

    def _place(self, node: fx.Node, direction: Direction) -> Place:
        if batch_axis(node) is None:
            return Place(Argument("shared", node))
        return Place(Argument("row", node)) if node in self.partition.per_row else Place(Argument("step", node), "t")

    def _backward_places(self, direction: Direction) -> tuple[dict[fx.Node, Place], Written]:
        step = self.step
        known = {node: self._place(node, direction) for node in direction.known}
        written: Written = [(node, Place(Argument("step", node), "t")) for node in direction.stored]
        written += [(node, Place(Argument("sum", node))) for node in direction.summed]
        for old, new in zip(step.state, step.new_state, strict=True):
            known[new] = Place(Argument("history", old), "after")
        for old in step.state:
            known[old] = Place(Argument("history", old), "before")
        for entering, leaving in zip(step.state_grad, step.state_grads, strict=True):
            if entering is not None and value(entering).is_floating_point():
                known[entering] = Place(Argument("turn", entering), "now")
                written.append((leaving or self._zero(entering), Place(Argument("turn", entering), "next")))
        for initial, grad in zip(step.initial, step.initial_grads, strict=True):
            if grad is not None:
                written.append((grad, Place(Argument("row sum", initial))))
        written += [(node, Place(Argument("row sum", node))) for node in self.partition.late_sums]
        return known, written

    def _zero(self, like: fx.Node) -> fx.Node:
        graph = self.step.graph
        options: dict[str, Any] = {"dtype": value(like).dtype, "device": value(like).device}
        with graph.inserting_before(next(node for node in graph.nodes if node.op == "output")):
            zero = graph.call_function(aten.full.default, (list(value(like).shape), 0), options)
        zero.meta["val"] = value(like)
        return zero

    def _saved(self, direction: Direction) -> list[fx.Node]:
        """Return the values of the forward direction that the backward direction reads."""
        made = {*direction.before.outputs, *direction.after.outputs, *direction.stored, *self.partition.late_sums}
        wanted = [argument.node for argument in self.backward_loop.arguments if argument.kind not in ("sum", "row sum")]
        wanted += direction.before.inputs + direction.after.inputs + self.partition.late.inputs
        # a new state is read from the history of the old one
        history = dict(zip(self.step.new_state, self.step.state, strict=True)) | {old: old for old in self.step.state}
        wanted = [history.get(node, node) for node in wanted if node not in made and node not in self.step.tangents]
        return list(dict.fromkeys(wanted))
