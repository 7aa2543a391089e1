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
from rnnkit.engines.compiled.cpu.kernel import IDS
from rnnkit.engines.compiled.cpu.program import Program
from rnnkit.engines.compiled.trace.frozen import contents
from rnnkit.engines.compiled.trace.graphs import Untraceable, opname, value
from rnnkit.engines.compiled.trace.readings import readings
from rnnkit.engines.compiled.trace.step import Step, structured


class Stepper:
    """A step of one cell with its current weights and options.

    Raises:
        Untraceable: if a step needs more than one call.
    """

    def __init__(self, cell: Cell[Any], step: Step, weights: dict[str, Tensor], state: Any) -> None:
        if any(opname(node) == "embedding" for node in step.graph.nodes):
            raise Untraceable(IDS)
        program = Program(step, weights, in_place=True)
        self._function = toolchain.load(program.source()).once
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
        # copies must live as long as their addresses are used
        self._held = program.constants
        self._addresses = [self._held[n].data_ptr() if n in self._held else 0 for n in range(program.arguments)]
        self._array = ctypes.c_void_p * len(self._addresses)
        slots = [*program.inputs, *program.state]
        self._inputs = [(n, slot.argument) for n, slot in enumerate(slots) if slot.argument >= 0]
        self._outputs = program.results
        self._y, self._ends = program.output, program.ends

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
        self._function(ctypes.c_long(lanes), self._array(*addresses))
        # the output may be modified in place, so the state must not share its memory
        return torch.stack((found[self._y],), 1), structured(state, [found[n] for n in self._ends])
