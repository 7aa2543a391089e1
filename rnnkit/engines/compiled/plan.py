"""What is compiled of a step: where every value of its loops stands in memory, and their text."""

import ctypes
from functools import cache, cached_property
from importlib import resources

from torch import fx

from rnnkit.engines import toolchain
from rnnkit.engines.compiled.graphs import aten, batch_axis, value
from rnnkit.engines.compiled.partition import Direction, partition
from rnnkit.engines.compiled.products import tiles
from rnnkit.engines.compiled.schedule import Argument, Place, Schedule
from rnnkit.engines.compiled.step import Step
from rnnkit.engines.compiled.writer import Writer


@cache
def runtime() -> str:
    """What every generated text begins with."""
    return tiles() + resources.files(__package__).joinpath("runtime.hpp").read_text()


class Plan:
    """A step's partition, the two functions of its loops, and what the backward one needs of the forward one.

    Raises `Untraceable` where the step cannot be compiled.
    """

    def __init__(self, step: Step, *, backward: bool) -> None:
        self.step = step
        self.partition = partition(step)
        forward, after = self.partition.forward, self.partition.forward.after
        # A state is kept for every step where something is to read it.
        self.kept = [
            backward or new is step.y or new in after.inputs or old in after.inputs
            for old, new in zip(step.state, step.new_state, strict=True)
        ]
        known = {node: self._place(node, forward) for node in forward.known}
        written = [(node, Place(Argument("step", node), "t")) for node in forward.stored]
        for old, new, kept in zip(step.state, step.new_state, self.kept, strict=True):
            argument = Argument("history" if kept else "turn", old)
            known[old] = Place(argument, "before" if kept else "now")
            written.append((new, Place(argument, "after" if kept else "next")))
        self.forward_program = Writer("forward", Schedule(known, written))
        self.source = runtime() + self.forward_program.text()
        self.saved: list[fx.Node] = []
        if self.partition.backward is not None:
            self.backward_program = self._backward_program(self.partition.backward)
            self.source += self.backward_program.text()
            self.saved = self._saved(self.partition.backward)

    def _place(self, node: fx.Node, direction: Direction) -> Place:
        if batch_axis(node) is None:
            return Place(Argument("shared", node))
        return Place(Argument("lane", node)) if node in self.step.initial else Place(Argument("step", node), "t")

    def _backward_program(self, direction: Direction) -> Writer:
        step = self.step
        known = {node: self._place(node, direction) for node in direction.known}
        written = [(node, Place(Argument("step", node), "t")) for node in direction.stored]
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
                written.append((grad, Place(Argument("lane sum", initial))))
        return Writer("backward", Schedule(known, written), backward=True)

    def _zero(self, like: fx.Node) -> fx.Node:
        graph = self.step.graph
        with graph.inserting_before(next(node for node in graph.nodes if node.op == "output")):
            zero = graph.call_function(aten.full.default, (list(value(like).shape), 0))
        zero.meta["val"] = value(like)
        return zero

    def _saved(self, direction: Direction) -> list[fx.Node]:
        """What the backward direction reads of the forward one."""
        made = {*direction.before.outputs, *direction.after.outputs, *direction.stored}
        tangents = {self.step.y_grad, *self.step.state_grad}
        wanted = [
            argument.node for argument in self.backward_program.arguments if argument.kind not in ("sum", "lane sum")
        ]
        wanted += direction.before.inputs + direction.after.inputs
        # A new state is read from the history of the old one.
        history = dict(zip(self.step.new_state, self.step.state, strict=True)) | {old: old for old in self.step.state}
        wanted = [history.get(node, node) for node in wanted if node not in made and node not in tangents]
        return list(dict.fromkeys(wanted))

    @cached_property
    def library(self) -> ctypes.CDLL:
        """The compiled text."""
        return toolchain.load(self.source)
