"""One step without gradients, for live streams, in a single call."""

import ctypes
from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.cells.state import state_leaves
from rnnkit.compat.torch import (
    forward_hooks,
    forward_pre_hooks,
    own_buffers,
    own_modules,
    own_parameters,
    version_of,
)
from rnnkit.engines import toolchain
from rnnkit.engines.compiled.cpu.function import Writer
from rnnkit.engines.compiled.cpu.kernel import runtime
from rnnkit.engines.compiled.cpu.schedule import Schedule
from rnnkit.engines.compiled.plan.arguments import Argument, Place
from rnnkit.engines.compiled.plan.partition import weight_values
from rnnkit.engines.compiled.trace.frozen import contents
from rnnkit.engines.compiled.trace.graphs import (
    Untraceable,
    ancestors,
    batch_axis,
    features,
    is_random,
    is_tensor,
    value,
)
from rnnkit.engines.compiled.trace.readings import readings
from rnnkit.engines.compiled.trace.step import Step, structured


class Stepper:
    """A step of one cell with its current weights and options.

    Raises:
        Untraceable: if a step needs more than one call.
    """

    def __init__(self, cell: Cell[Any], step: Step, weights: dict[str, Tensor], state: Any) -> None:
        needed = ancestors([step.y, *step.new_state])
        calls = [node for node in step.graph.nodes if node in needed and node.op == "call_function" and is_tensor(node)]
        if any(is_random(node) for node in calls):
            raise Untraceable("it draws random numbers")
        prologue, used = weight_values(step, calls, needed)
        known = {node: Place(Argument("shared", node)) for node in used if batch_axis(node) is None}
        known |= {node: Place(Argument("row", node)) for node in (*step.x, *step.state)}
        results = list(dict.fromkeys([step.y, *step.new_state]))
        schedule = Schedule(known, [(node, Place(Argument("next", node))) for node in results])
        program = Writer("step", schedule, packed=False)
        self._function = toolchain.load(runtime() + program.text()).step
        values = dict(zip(step.weights.values(), weights.values(), strict=True))
        prologue.run(0, values)
        self._stamps = [(tensor, tensor.data_ptr(), version_of(tensor)) for tensor in weights.values()]
        self._parts = [
            (owner, name, held)
            for module in cell.modules()
            for owner in (own_parameters(module), own_buffers(module), own_modules(module))
            for name, held in owner.items()
        ]
        # tensors, not modules: a reference to the cell would keep it alive
        attributes = [vars(module) for module in cell.modules()]
        self._attributes = [(held, held["training"], contents(held), held.get("forward")) for held in attributes]
        self._readings = readings(cell)
        self._hooks = [
            hooks for module in cell.modules() for hooks in (forward_hooks(module), forward_pre_hooks(module))
        ]
        self._type, self._leaves = type(state), [(leaf.dtype, leaf.shape[1:]) for leaf in state_leaves(state)]
        self._x_dtype, self._input_size = value(step.x[0]).dtype, cell.input_size
        # bfloat16 factors of a product are read as float
        factors = {
            weights: values[weights].float() if values[weights].dtype == torch.bfloat16 else values[weights]
            for _, weights in schedule.products.values()
        }
        # copies must live as long as their addresses are used
        self._held: list[Tensor] = []
        addresses = []
        for argument in program.arguments:
            if argument.kind == "weight":
                held = factors[argument.node]
            elif argument.node in values:
                held = values[argument.node].contiguous()
            else:
                addresses.append(0)
                continue
            self._held.append(held)
            addresses.append(held.data_ptr())
        in_order = [factors[weights] for _, weights in schedule.products.values()]
        strides = [stride for factor in in_order for stride in ((0,) * (3 - factor.dim()) + factor.stride())]
        self._addresses, self._array = addresses, ctypes.c_void_p * len(addresses)
        self._strides = (ctypes.c_long * len(strides))(*strides)
        order = [(argument.kind, argument.node) for argument in program.arguments]
        self._inputs = [
            (n, order.index(("row", node))) for n, node in enumerate([*step.x, *step.state]) if ("row", node) in order
        ]
        self._outputs = [(order.index(("next", node)), features(node), value(node).dtype) for node in results]
        self._y, self._ends = results.index(step.y), [results.index(node) for node in step.new_state]

    def fits(self, x_B1I: Tensor, state: Any) -> bool:
        """Whether this step fits the arguments, and the weights and options of the cell have not changed."""
        if (
            type(state) is not self._type
            or type(x_B1I) is not Tensor
            or x_B1I.dtype is not self._x_dtype
            or x_B1I.shape[1:] != (1, self._input_size)
            or not x_B1I.is_cpu
        ):
            return False
        leaves, lanes = state_leaves(state), x_B1I.shape[0]
        return (
            len(leaves) == len(self._leaves)
            and all(
                leaf.dtype is dtype and leaf.shape[1:] == shape and leaf.shape[0] == lanes and leaf.is_cpu
                for leaf, (dtype, shape) in zip(leaves, self._leaves, strict=True)
            )
            and all(tensor.data_ptr() == at and version_of(tensor) == now for tensor, at, now in self._stamps)
            and all(owner.get(name) is held for owner, name, held in self._parts)
            and all(
                held["training"] is mode and contents(held) == given and held.get("forward") is forward
                for held, mode, given, forward in self._attributes
            )
            and not any(self._hooks)
            and self._readings.are_unchanged()
        )

    def __call__(self, x_B1I: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Run one step: map x [B, 1, I] and the state to the output [B, 1, O] and the new state."""
        given = [x_B1I.contiguous(), *(leaf.contiguous() for leaf in state_leaves(state))]
        lanes = x_B1I.shape[0]
        # a new list: other threads may run steps of the same cell
        addresses = list(self._addresses)
        for n, at in self._inputs:
            addresses[at] = given[n].data_ptr()
        found = []
        for at, shape, dtype in self._outputs:
            found.append(torch.empty(lanes, *shape, dtype=dtype))
            addresses[at] = found[-1].data_ptr()
        self._function(1, lanes, 0, 1, self._array(*addresses), self._strides)
        # the output may be modified in place, so the state must not share its memory
        return torch.stack((found[self._y],), 1), structured(state, [found[n] for n in self._ends])
