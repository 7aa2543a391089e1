"""A compiled step on a GPU: hoisted parts as torch operations, the loops as CUDA graphs of fused steps.

Values are stored in the order of the steps; if time runs backward, inputs and outputs are reversed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, fx

from rnnkit.engines import toolchain
from rnnkit.engines.compiled.differentiable import Differentiable, Values, WindowShape
from rnnkit.engines.compiled.gpu.chunk import Buffers
from rnnkit.engines.compiled.gpu.repeated import CudaGraphLoop
from rnnkit.engines.compiled.plan.arguments import Argument, Place
from rnnkit.engines.compiled.plan.layout import by_row, masks, rows_first, wide
from rnnkit.engines.compiled.plan.loop import buffer_dtype
from rnnkit.engines.compiled.plan.plan import Written
from rnnkit.engines.compiled.trace.graphs import batch_axis, features, value
from rnnkit.engines.window import Window


class GraphKernel(Differentiable):
    """A step in one mode, as two loops of ATen operations that are captured and replayed."""

    def loop(self, name: str, known: dict[fx.Node, Place], written: Written) -> CudaGraphLoop:
        """Return the loop as a CUDA graph."""
        return CudaGraphLoop(known, written, backward=name == "backward")

    def prepare(self) -> None:
        """Raise an error if the loops would be slower than the Python loop."""
        if self.forward_loop.is_slow_fallback or (
            self.partition.backward is not None and self.backward_loop.is_slow_fallback
        ):
            raise toolchain.CompilerError("neither Inductor nor CUDA graphs work here")

    def rows(self, x_BTI: Tensor, shape: WindowShape) -> Tensor:
        """Return all steps of x, [T * B, I], in the order of the steps."""
        return _in_order(x_BTI, bool(shape.reverse)).reshape(shape.T * shape.B, *x_BTI.shape[2:])

    def in_time(self, x_NI: Tensor, shape: WindowShape) -> Tensor:
        """Return [B, T, I], the inverse of `rows`."""
        return _in_time(x_NI.view(shape.T, shape.B, *x_NI.shape[1:]), bool(shape.reverse))

    def forward(
        self, inputs: Sequence[Tensor], window: Window, shape: WindowShape
    ) -> tuple[Tensor, list[Tensor], list[Tensor], Values]:
        """Return outputs, final state, all states, and the values of the saved nodes."""
        # memory that outlives an inference mode must not consist of inference tensors; the graph has its own casts
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(inputs[0].device.type, enabled=False):
            return self._forward(inputs, window, shape)

    def backward(
        self,
        values: Values,
        shape: WindowShape,
        y_grad_BTO: Tensor,
        state_grads: list[Tensor],
        states_grads: list[Tensor],
    ) -> list[Tensor | None]:
        """Return the gradients of x, state, initial state, context and weights."""
        with torch.no_grad():
            return self._backward(values, shape, y_grad_BTO, state_grads, states_grads)

    def _forward(
        self, inputs: Sequence[Tensor], window: Window, shape: WindowShape
    ) -> tuple[Tensor, list[Tensor], list[Tensor], Values]:
        step, direction, loop = self.step, self.partition.forward, self.forward_loop
        T, B, _ = shape
        values: Values = dict(zip(self.inputs, inputs, strict=True))
        if step.valid is not None and step.fresh is not None:
            masks_BT = masks(window, T, B, inputs[0].device)
            ordered = (_in_order(mask_BT, window.reverse) for mask_BT in masks_BT)
            values[step.valid], values[step.fresh] = (mask_TB.reshape(T * B) for mask_TB in ordered)
        self.run_once(values, B)
        self.run_for_all(direction.before, values, T, B)
        buffers = self._buffers(loop, values, T, B)
        by_state = {argument.node: argument for argument in loop.carries}
        keep = [argument for argument in loop.carries if argument.kind == "history"]
        ends = loop.run(buffers, {by_state[old]: values[old] for old in step.state}, T, B, keep)
        values.update(_stored(direction.stored, buffers))
        histories = {argument.node: buffers[argument] for argument in keep}
        self._show_states(values, histories)
        self.run_for_all(direction.after, values, T, B)
        y_TBO = rows_first(self.at_all_steps(step.y, values, T), step.y).view(T, B, value(step.y).shape[1])
        values.update(histories)
        # results may be modified by the caller
        after = [histories[old][1:] for old in step.state] if self.returns_states else []
        states = [_in_time(history, window.reverse).clone() for history in after]
        return _in_time(y_TBO, window.reverse), [ends[by_state[old]] for old in step.state], states, values

    def _backward(
        self,
        values: Values,
        shape: WindowShape,
        y_grad_BTO: Tensor,
        state_grads: list[Tensor],
        states_grads: list[Tensor],
    ) -> list[Tensor | None]:
        step, direction, loop = self.step, self.partition.backward, self.backward_loop
        assert direction is not None
        T, B = shape[:2]
        histories = {old: values[old] for old in step.state if old in values}
        if step.y_grad is not None:
            values[step.y_grad] = self.rows(y_grad_BTO, shape).to(value(step.y_grad).dtype)
        for node, grad in zip(step.states_grad, states_grads, strict=True):
            if node is not None and grad is not None:
                values[node] = self.rows(grad, shape)
        self._show_states(values, histories)
        self.run_for_all(direction.before, values, T, B)
        buffers = self._buffers(loop, values | histories, T, B)
        entering = dict(zip(step.state_grad, state_grads, strict=True))
        carries = {
            argument: entering[argument.node]
            if argument.kind == "turn"
            else y_grad_BTO.new_zeros(B, *features(argument.node), dtype=buffer_dtype(argument))
            for argument in loop.carries
        }
        ends = loop.run(buffers, carries, T, B)
        values.update(_stored(direction.stored, buffers))
        sums = {node: _summed(node, values, ends) for node in direction.summed}
        self.run_for_all(direction.after, values, T, B, sums)
        late = self.late_grads(values, {node: ends[Argument("row sum", node)] for node in self.partition.late_sums}, B)
        found = values | late
        return [
            *(None if grad is None else rows_first(values[grad], grad) for grad in step.x_grads),
            *(None if node is None else ends.get(Argument("turn", node)) for node in step.state_grad),
            *(
                None if grad is None else ends[Argument("row sum", node)].to(value(node).dtype)
                for node, grad in zip(step.initial, step.initial_grads, strict=True)
            ),
            *(None if grad is None else found[grad] for grad in (*step.context_grads, *step.weight_grads.values())),
        ]

    def _buffers(self, loop: CudaGraphLoop, values: Values, T: int, B: int) -> Buffers:
        """Return the values that a loop reads, in the layout of its buffers."""
        return {
            argument: rows_first(values[argument.node], argument.node).view(T, B, *features(argument.node))
            if argument.kind == "step"
            else rows_first(values[argument.node], argument.node)
            if argument.kind == "row"
            else values[argument.node]
            for argument in loop.inputs
        }

    def _show_states(self, values: Values, histories: Values) -> None:
        """Set the states before and after every step, as views of their histories."""
        pairs = [(old, new) for old, new in zip(self.step.state, self.step.new_state, strict=True) if old in histories]
        for old, new in pairs:
            values[new] = by_row(histories[old][1:].flatten(0, 1), new)
        # last, because the new state of one may be the old state of another
        for old, _ in pairs:
            values[old] = by_row(histories[old][:-1].flatten(0, 1), old)


def _in_order(x_BTF: Tensor, reverse: bool) -> Tensor:
    """Return [T, B, ...] in the order of the steps."""
    x_TBF = x_BTF.transpose(0, 1)
    return x_TBF.flip(0) if reverse else x_TBF


def _in_time(x_TBF: Tensor, reverse: bool) -> Tensor:
    """Return [B, T, F] in order of time."""
    return (x_TBF.flip(0) if reverse else x_TBF).transpose(0, 1)


def _stored(nodes: list[fx.Node], buffers: Buffers) -> Values:
    """Return the values that a loop has written, by rows."""
    return {node: by_row(buffers[Argument("step", node)].flatten(0, 1), node) for node in nodes}


def _summed(node: fx.Node, values: Values, ends: Buffers) -> Tensor:
    """Return the sum over all rows and steps, with a batch axis of size one."""
    axis = batch_axis(node) or 0
    total = ends.get(Argument("sum", node))
    if total is None:
        return values[node].sum(axis, keepdim=True, dtype=wide(node)).to(value(node).dtype)
    return total.sum(0).to(value(node).dtype).unsqueeze(axis)
