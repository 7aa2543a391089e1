"""A compiled step on a CPU: its source, its library, the buffers of a window, and the calls of its loops."""

import ctypes
from collections.abc import Sequence
from functools import cache, cached_property
from importlib import resources
from typing import Any

import torch
from torch import Tensor, fx

from rnnkit.engines import toolchain
from rnnkit.engines.compiled.cpu.function import Writer
from rnnkit.engines.compiled.cpu.schedule import Schedule
from rnnkit.engines.compiled.differentiable import Differentiable, Values, WindowShape
from rnnkit.engines.compiled.plan.arguments import Argument, Place
from rnnkit.engines.compiled.plan.layout import by_row, masks, rows_first, wide
from rnnkit.engines.compiled.plan.plan import Written
from rnnkit.engines.compiled.plan.products import BUFFERS, tiles
from rnnkit.engines.compiled.trace.graphs import Untraceable, batch_axis, features, opname, value
from rnnkit.engines.compiled.trace.step import Step
from rnnkit.engines.compiled.trace.twin import Twin
from rnnkit.engines.window import Window

IDS = "it selects rows of a table by ids, whose range its loop would not check"


@cache
def runtime() -> str:
    """Return the C++ runtime of time loops, the beginning of their generated source."""
    return tiles() + headers("runtime.hpp", "pointwise.hpp")


@cache
def headers(*names: str) -> str:
    """Return the text of C++ files of this package."""
    return "".join(resources.files(__package__).joinpath(name).read_text() for name in names)


class Kernel(Differentiable):
    """A step in one mode, as two time loops in C++."""

    is_for_any_cell = True

    def __init__(self, step: Step, twin: Twin, *, backward: bool, states: bool) -> None:
        if any(opname(node) == "embedding" for node in step.graph.nodes):
            raise Untraceable(IDS)
        self.source = runtime()
        super().__init__(step, twin, backward=backward, states=states)

    def loop(self, name: str, known: dict[fx.Node, Place], written: Written) -> Writer:
        """Generate the function of a loop and add it to the source."""
        writer = Writer(name, Schedule(known, written), backward=name == "backward")
        self.source += writer.text()
        return writer

    @cached_property
    def library(self) -> ctypes.CDLL:
        """The compiled library."""
        return toolchain.load(self.source)

    def prepare(self) -> None:
        """Compile the source, or find it in the cache."""
        _ = self.library

    def rows(self, x_BTI: Tensor, shape: WindowShape) -> Tensor:
        """Return all steps of x, [T * B, I], in order of time."""
        return x_BTI.transpose(0, 1).reshape(shape.T * shape.B, *x_BTI.shape[2:])

    def in_time(self, x_NI: Tensor, shape: WindowShape) -> Tensor:
        """Return [B, T, I], the inverse of `rows`."""
        return x_NI.view(shape.T, shape.B, *x_NI.shape[1:]).transpose(0, 1)

    def forward(
        self, inputs: Sequence[Tensor], window: Window, shape: WindowShape
    ) -> tuple[Tensor, list[Tensor], list[Tensor], Values]:
        """Return outputs, final state, all states, and the values of the saved nodes."""
        step, direction = self.step, self.partition.forward
        T, B, reverse = shape
        values: Values = dict(zip(self.inputs, inputs, strict=True))
        if step.valid is not None and step.fresh is not None:
            masks_BT = masks(window, T, B, inputs[0].device)
            values[step.valid], values[step.fresh] = (mask_BT.t().reshape(T * B) for mask_BT in masks_BT)
        self.run_once(values, B)
        self.run_for_all(direction.before, values, T, B)
        buffers: dict[Argument, Tensor] = {}
        for old, kept in zip(step.state, self.kept, strict=True):
            leaf = values[old]
            buffer = leaf.new_empty(T + 1 if kept else 2, *leaf.shape)
            buffer[T * reverse if kept else 0] = leaf
            buffers[Argument("history" if kept else "turn", old)] = buffer
        for node in direction.stored:
            buffers[Argument("step", node)] = _buffer(node, T * B)
        self._run(self.forward_loop, self.library.forward, values, buffers, (T, B, reverse))
        values.update({node: by_row(buffers[Argument("step", node)], node) for node in direction.stored})
        ends = []
        for old, kept in zip(step.state, self.kept, strict=True):
            buffer = buffers[Argument("history" if kept else "turn", old)]
            ends.append(buffer[(0 if reverse else T) if kept else T & 1].clone())
        histories = self._histories(buffers)
        self._show_states(values, histories, T, reverse)
        self.run_for_all(direction.after, values, T, B)
        y = rows_first(self.at_all_steps(step.y, values, T), step.y)
        y_BTO = y.view(T, B, value(step.y).shape[1]).transpose(0, 1)
        values.update(histories)
        # results may be modified by the caller
        after = [histories[old][1 - reverse :][:T] for old in step.state] if self.returns_states else []
        states = [history.transpose(0, 1).clone() for history in after]
        spare = [values[node] for node in (*direction.before.outputs, *direction.stored)]
        BUFFERS.give(spare, [y_BTO, *ends, *(values[node] for node in self.saved)])
        return y_BTO, ends, states, values

    def backward(
        self,
        values: Values,
        shape: WindowShape,
        y_grad_BTO: Tensor,
        state_grads: list[Tensor],
        states_grads: list[Tensor],
    ) -> list[Tensor | None]:
        """Return the gradients of x, state, initial state, context and weights."""
        step, direction = self.step, self.partition.backward
        assert direction is not None
        T, B, reverse = shape
        histories = {old: values[old] for old in step.state if old in values}
        buffers = {Argument("history", old): buffer for old, buffer in histories.items()}
        self._show_states(values, histories, T, reverse)
        if step.y_grad is not None:
            values[step.y_grad] = self.rows(y_grad_BTO, shape).to(value(step.y_grad).dtype)
        for node, grad in zip(step.states_grad, states_grads, strict=True):
            if node is not None and grad is not None:
                values[node] = self.rows(grad, shape)
        self.run_for_all(direction.before, values, T, B)
        for entering, grad in zip(step.state_grad, state_grads, strict=True):
            if entering is not None and grad.is_floating_point():
                buffer = buffers[Argument("turn", entering)] = grad.new_empty(2, *grad.shape)
                buffer[0] = grad
        for node in direction.stored:
            buffers[Argument("step", node)] = _buffer(node, T * B)
        threads = _threads(B)
        for node in direction.summed:
            buffers[Argument("sum", node)] = torch.zeros(threads, *features(node), dtype=wide(node))
        for initial, leaving in zip(step.initial, step.initial_grads, strict=True):
            if leaving is not None:
                buffers[Argument("row sum", initial)] = torch.zeros(B, *features(initial), dtype=wide(initial))
        for node in self.partition.late_sums:
            buffers[Argument("row sum", node)] = torch.zeros(B, *features(node), dtype=wide(node))
        self._run(self.backward_loop, self.library.backward, values, buffers, shape)
        values.update({node: by_row(buffers[Argument("step", node)], node) for node in direction.stored})
        sums = {
            node: buffers[Argument("sum", node)].sum(0).to(value(node).dtype).unsqueeze(batch_axis(node) or 0)
            for node in direction.summed
        }
        self.run_for_all(direction.after, values, T, B, sums)
        late = self.late_grads(
            values, {node: buffers[Argument("row sum", node)] for node in self.partition.late_sums}, B
        )
        found = values | late
        x_grads = [None if grad is None else rows_first(values[grad], grad) for grad in step.x_grads]
        context_grads = [None if grad is None else found[grad] for grad in step.context_grads]
        weight_grads = [None if grad is None else found[grad] for grad in step.weight_grads.values()]
        spare = [values[node] for node in (*direction.before.outputs, *direction.stored)]
        BUFFERS.give(spare, [*x_grads, y_grad_BTO, *state_grads, *states_grads, *context_grads, *weight_grads])
        return [
            *x_grads,
            *(
                buffers[Argument("turn", node)][T & 1] if node is not None and value(node).is_floating_point() else None
                for node in step.state_grad
            ),
            *(
                None if grad is None else buffers[Argument("row sum", node)].to(value(node).dtype)
                for node, grad in zip(step.initial, step.initial_grads, strict=True)
            ),
            *context_grads,
            *weight_grads,
        ]

    def _histories(self, buffers: dict[Argument, Tensor]) -> Values:
        return {
            old: buffers[Argument("history", old)] for old, kept in zip(self.step.state, self.kept, strict=True) if kept
        }

    def _show_states(self, values: Values, histories: Values, T: int, reverse: int) -> None:
        """Set the states before and after every step, as views of their histories."""
        pairs = [(old, new) for old, new in zip(self.step.state, self.step.new_state, strict=True) if old in histories]
        for old, new in pairs:
            values[new] = by_row(histories[old][1 - reverse : 1 - reverse + T].flatten(0, 1), new)
        # last, because the new state of one may be the old state of another
        for old, _ in pairs:
            values[old] = by_row(histories[old][reverse : reverse + T].flatten(0, 1), old)

    def _run(
        self,
        writer: Writer,
        function: Any,
        values: Values,
        buffers: dict[Argument, Tensor],
        shape: tuple[int, int, int],
    ) -> None:
        """Call a generated function with a pointer for each argument."""
        tensors = []
        for argument in writer.arguments:
            if argument in buffers:
                tensors.append(buffers[argument])
            elif argument.kind == "weight":
                factor = values[argument.node]
                tensors.append(factor.float() if factor.dtype == torch.bfloat16 else factor)
            else:
                tensors.append(rows_first(values[argument.node], argument.node))
        by_node = {a.node: tensor for a, tensor in zip(writer.arguments, tensors, strict=True) if a.kind == "weight"}
        strides = [
            stride
            for _, weights in writer.schedule.products.values()
            for stride in ((0,) * (3 - by_node[weights].dim()) + by_node[weights].stride())
        ]
        pointers = (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
        T, B, reverse = (ctypes.c_long(size) for size in shape)
        function(T, B, reverse, ctypes.c_long(_threads(shape[1])), pointers, (ctypes.c_long * len(strides))(*strides))


def _buffer(node: fx.Node, rows: int) -> Tensor:
    return BUFFERS.take((rows, *features(node)), value(node).dtype)


def _threads(lanes: int) -> int:
    return max(1, min(torch.get_num_threads(), lanes))
