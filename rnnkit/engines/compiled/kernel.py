"""A compiled step at work: the buffers of a window, the calls of its loops, and autograd's view of them."""

import ctypes
from itertools import chain
from typing import Any

import torch
from torch import Tensor, fx
from torch.autograd.function import once_differentiable

from rnnkit.cells.state import state_leaves
from rnnkit.engines.compiled.graphs import batch_axis, features, value
from rnnkit.engines.compiled.plan import Plan
from rnnkit.engines.compiled.products import SPARES
from rnnkit.engines.compiled.schedule import Argument
from rnnkit.engines.compiled.step import structured
from rnnkit.engines.compiled.writer import Writer
from rnnkit.engines.window import Window

Values = dict[fx.Node, Tensor]
"""Values by node. Those of a lane hold all steps: where the trace has the batch, they have T * B rows in time order."""


class Kernel(Plan):
    """A step in one mode, for any number of lanes and steps."""

    def __call__(self, x_BTI: Tensor, state: Any, initial: Any, window: Window, weights: dict[str, Tensor]) -> Any:
        """Outputs and state, as an engine's `run`."""
        leaves = state_leaves(state)
        # An initial state may be one row, expanded.
        first = [leaf.contiguous() for leaf in state_leaves(initial)] if self.step.initial else []
        given = [*leaves, *first, *(weights[name] for name in self.step.weights)]
        if self.partition.backward is None:
            y_BTO, ends, _ = self.forward(x_BTI, given, window)
        else:
            y_BTO, *ends = _Scan.apply(self, window, x_BTI, *given)
        return y_BTO, structured(state, ends)

    def forward(self, x_BTI: Tensor, given: list[Tensor], window: Window) -> tuple[Tensor, list[Tensor], Values]:
        """Outputs, final state, and the values of the nodes that are saved."""
        step, direction = self.step, self.partition.forward
        B, T = x_BTI.shape[:2]
        values: Values = {step.x: x_BTI.transpose(0, 1).reshape(T * B, x_BTI.shape[2])}
        values.update(zip(chain(step.state, step.initial, step.weights.values()), given, strict=True))
        if step.valid is not None and step.fresh is not None:
            values[step.valid], values[step.fresh] = _masks(window, B, T)
        rooms = self._lanes(values, T)
        self.partition.weights.run(0, values)
        direction.before.run(T * B, values)
        reverse = int(window.reverse)
        for old, kept in zip(step.state, self.kept, strict=True):
            leaf = values[old]
            room = leaf.new_empty(T + 1 if kept else 2, *leaf.shape)
            room[T * reverse if kept else 0] = leaf
            rooms[Argument("history" if kept else "turn", old)] = room
        for node in direction.stored:
            rooms[Argument("step", node)] = _room(node, T * B)
        self._run(self.forward_program, self.library.forward, values, rooms, (T, B, reverse))
        values.update({node: _by_row(rooms[Argument("step", node)], node) for node in direction.stored})
        ends = []
        for old, kept in zip(step.state, self.kept, strict=True):
            room = rooms[Argument("history" if kept else "turn", old)]
            ends.append(room[(0 if reverse else T) if kept else T & 1].clone())
        histories = self._histories(rooms)
        self._show_states(values, histories, T, reverse)
        direction.after.run(T * B, values)
        y_BTO = _rows_first(values[step.y], step.y).view(T, B, value(step.y).shape[1]).transpose(0, 1)
        values.update(histories)
        values.update({node: rooms[Argument("lane", node)] for node in step.initial})
        spare = [values[node] for node in (*direction.before.outputs, *direction.stored)]
        SPARES.give(spare, [y_BTO, *ends, *(values[node] for node in self.saved)])
        return y_BTO, ends, values

    def backward(
        self, values: Values, shape: tuple[int, int, int], y_grad_BTO: Tensor, state_grads: list[Tensor]
    ) -> list[Tensor | None]:
        """The gradients of x, state, initial state and weights."""
        step, direction = self.step, self.partition.backward
        assert direction is not None
        T, B, reverse = shape
        rooms = self._lanes(values, T)
        histories = {old: values[old] for old in step.state if old in values}
        rooms |= {Argument("history", old): room for old, room in histories.items()}
        self._show_states(values, histories, T, reverse)
        if step.y_grad is not None:
            y_grad = y_grad_BTO.transpose(0, 1).reshape(T * B, y_grad_BTO.shape[2])
            values[step.y_grad] = y_grad.to(value(step.y_grad).dtype)
        direction.before.run(T * B, values)
        for entering, grad in zip(step.state_grad, state_grads, strict=True):
            if entering is not None and grad.is_floating_point():
                room = rooms[Argument("turn", entering)] = grad.new_empty(2, *grad.shape)
                room[0] = grad
        for node in direction.stored:
            rooms[Argument("step", node)] = _room(node, T * B)
        threads = _threads(B)
        for node in direction.summed:
            rooms[Argument("sum", node)] = torch.zeros(threads, *features(node), dtype=_wide(node))
        for initial, leaving in zip(step.initial, step.initial_grads, strict=True):
            if leaving is not None:
                rooms[Argument("lane sum", initial)] = torch.zeros(B, *features(initial), dtype=_wide(initial))
        self._run(self.backward_program, self.library.backward, values, rooms, shape)
        values.update({node: _by_row(rooms[Argument("step", node)], node) for node in direction.stored})
        sums = {
            node: rooms[Argument("sum", node)].sum(0).to(value(node).dtype).unsqueeze(batch_axis(node) or 0)
            for node in direction.summed
        }
        direction.after.run(T * B, values, sums)
        x_grad = None if step.x_grad is None else _rows_first(values[step.x_grad], step.x_grad)
        weight_grads = [None if grad is None else values[grad] for grad in step.weight_grads.values()]
        spare = [values[node] for node in (*direction.before.outputs, *direction.stored)]
        SPARES.give(spare, [x_grad, y_grad_BTO, *state_grads, *weight_grads])
        return [
            None if x_grad is None else x_grad.view(T, B, x_grad.shape[1]).transpose(0, 1),
            *(
                rooms[Argument("turn", node)][T & 1] if node is not None and value(node).is_floating_point() else None
                for node in step.state_grad
            ),
            *(
                None if grad is None else rooms[Argument("lane sum", node)].to(value(node).dtype)
                for node, grad in zip(step.initial, step.initial_grads, strict=True)
            ),
            *weight_grads,
        ]

    def _lanes(self, values: Values, T: int) -> dict[Argument, Tensor]:
        """What is the same at all steps, once for the loop; outside of it every row needs its own."""
        lanes = {Argument("lane", node): values[node] for node in self.step.initial if node in values}
        for argument, tensor in lanes.items():
            values[argument.node] = tensor.repeat(T, *[1] * (tensor.dim() - 1))
        return lanes

    def _histories(self, rooms: dict[Argument, Tensor]) -> Values:
        return {
            old: rooms[Argument("history", old)] for old, kept in zip(self.step.state, self.kept, strict=True) if kept
        }

    def _show_states(self, values: Values, histories: Values, T: int, reverse: int) -> None:
        """The states before and after every step, as parts of their histories."""
        pairs = [(old, new) for old, new in zip(self.step.state, self.step.new_state, strict=True) if old in histories]
        for old, new in pairs:
            values[new] = _by_row(histories[old][1 - reverse : 1 - reverse + T].flatten(0, 1), new)
        # Last, because a new state may be another's old one.
        for old, _ in pairs:
            values[old] = _by_row(histories[old][reverse : reverse + T].flatten(0, 1), old)

    def _run(
        self,
        program: Writer,
        function: Any,
        values: Values,
        rooms: dict[Argument, Tensor],
        shape: tuple[int, int, int],
    ) -> None:
        """Call a generated function with a pointer for each argument."""
        tensors = []
        for argument in program.arguments:
            if argument in rooms:
                tensors.append(rooms[argument])
            elif argument.kind == "weight":
                factor = values[argument.node]
                tensors.append(factor.float() if factor.dtype == torch.bfloat16 else factor)
            else:
                tensors.append(_rows_first(values[argument.node], argument.node))
        by_node = {a.node: tensor for a, tensor in zip(program.arguments, tensors, strict=True) if a.kind == "weight"}
        strides = [
            stride
            for _, weights in program.schedule.products.values()
            for stride in ((0,) * (3 - by_node[weights].dim()) + by_node[weights].stride())
        ]
        pointers = (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
        T, B, reverse = (ctypes.c_long(size) for size in shape)
        function(T, B, reverse, ctypes.c_long(_threads(shape[1])), pointers, (ctypes.c_long * len(strides))(*strides))


class _Scan(torch.autograd.Function):
    """All steps forward, and all steps back."""

    @staticmethod
    def forward(ctx: Any, kernel: Kernel, window: Window, x_BTI: Tensor, *given: Tensor) -> Any:
        y_BTO, ends, values = kernel.forward(x_BTI, list(given), window)
        ctx.kernel = kernel
        ctx.shape = (x_BTI.shape[1], x_BTI.shape[0], int(window.reverse))
        ctx.save_for_backward(*(values[node] for node in kernel.saved))
        ctx.mark_non_differentiable(*(end for end in ends if not end.is_floating_point()))
        return y_BTO, *ends

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, y_grad_BTO: Tensor, *state_grads: Tensor) -> Any:
        values = dict(zip(ctx.kernel.saved, ctx.saved_tensors, strict=True))
        with torch.autocast("cpu", enabled=False):
            grads = ctx.kernel.backward(values, ctx.shape, y_grad_BTO, list(state_grads))
        return None, None, *grads


def _masks(window: Window, B: int, T: int) -> tuple[Tensor, Tensor]:
    t_T = torch.arange(T)[:, None]
    valid_TB = torch.ones(T, B, dtype=torch.bool) if window.lengths is None else t_T < window.lengths
    fresh_TB = torch.zeros(T, B, dtype=torch.bool) if window.fresh is None else window.fresh.t()
    return valid_TB.reshape(T * B), fresh_TB.reshape(T * B)


def _room(node: fx.Node, rows: int) -> Tensor:
    return SPARES.take((rows, *features(node)), value(node).dtype)


def _wide(node: fx.Node) -> torch.dtype:
    """The type to sum in."""
    return torch.float32 if value(node).dtype == torch.bfloat16 else value(node).dtype


def _by_row(room: Tensor, node: fx.Node) -> Tensor:
    """[T * B, F...] with the rows where the trace has the batch."""
    return room.movedim(0, batch_axis(node) or 0)


def _rows_first(tensor: Tensor, node: fx.Node) -> Tensor:
    """The inverse, in memory too."""
    return tensor.movedim(batch_axis(node) or 0, 0).contiguous()


def _threads(lanes: int) -> int:
    return max(1, min(torch.get_num_threads(), lanes))
