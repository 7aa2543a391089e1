"""What one step costs: multiplications, other operations, bytes, and an estimate of the energy."""

from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from rnnkit.cells.base import Cell
from rnnkit.engines import compiled
from rnnkit.engines.live import Frozen, freeze

PICOJOULE_MAC = {"float32": 4.6, "float64": 20.0, "bfloat16": 1.5}
"""A multiplication and an addition, in 45 nm: 3.7 + 0.9 pJ in float32, 1.1 + 0.4 pJ in float16 (Horowitz, 2014,
"Computing's energy problem", ISSCC), and for float64 about four times as much as in float32."""
PICOJOULE_BYTE = {"8 kB SRAM": 1.25, "1 MB SRAM": 12.5, "DRAM": 240.0}
"""Reading a byte: 10 pJ, 100 pJ and 1.3 to 2.6 nJ for 64 bits (the same source)."""
BASIS = "45 nm, Horowitz 2014 (rnnkit/deploy/cost.py); weights read once a step"


@dataclass(frozen=True)
class Cost:
    """The cost of one step of one sequence.

    Args:
        macs: multiplications with an addition, in all products of the traced step.
        operations: the number of other operations on elements, by name.
        weight_bytes, state_bytes, working_bytes: memory of the weights, of the state of a sequence, and of
            intermediate results.
        dtype: of the weights.
        traced: whether the step could be traced; otherwise the operations and `macs` are unknown.
    """

    macs: int
    operations: dict[str, int]
    weight_bytes: int
    state_bytes: int
    working_bytes: int
    dtype: str
    traced: bool

    @property
    def level(self) -> str:
        """The memory from which the weights are read, by their size."""
        if self.weight_bytes <= 8 << 10:
            return "8 kB SRAM"
        return "1 MB SRAM" if self.weight_bytes <= 1 << 20 else "DRAM"

    @property
    def microjoules(self) -> float:
        """An estimate of the energy of a step, from the table named by `BASIS`."""
        arithmetic = self.macs * PICOJOULE_MAC.get(self.dtype, PICOJOULE_MAC["float32"])
        return (arithmetic + self.weight_bytes * PICOJOULE_BYTE[self.level]) / 1e6


def cost_of(step: Cell[Any] | Frozen) -> Cost:
    """Return the cost of one step.

    >>> from rnnkit.cells import LSTMCell
    >>> cost = cost_of(LSTMCell(128, 128))
    >>> cost.macs, cost.state_bytes, cost.operations["tanh"]
    (131072, 1024, 256)
    """
    frozen = step if isinstance(step, Frozen) else freeze(step)
    cell = frozen.cell
    tensors = {tensor.data_ptr(): tensor for tensor in (*cell.parameters(), *cell.buffers()) if tensor.numel()}
    weights = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    floating = [tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()]
    dtype = str(Counter(floating).most_common(1)[0][0] if floating else torch.float32).removeprefix("torch.")
    state = sum(leaf.bytes for leaf in frozen.layout.leaves)
    program = getattr(frozen, "program", None)
    macs, operations = _counted(frozen) if program is not None else (0, {})
    working = 0 if program is None else program.scratch + sum(slot.bytes for slot in program.results)
    return Cost(macs, operations, weights, state, working, dtype, program is not None)


def _counted(frozen: Frozen) -> tuple[int, dict[str, int]]:
    from rnnkit.engines.compiled.trace.graphs import PRODUCTS, arguments, batch_axis, features, opname, value
    from rnnkit.engines.compiled.trace.pointwise import POINTWISE

    with torch.no_grad():
        traced, _ = compiled.traced_step(frozen.cell, frozen.x, frozen.y_dtype)
    macs, operations = 0, Counter[str]()
    for node in traced.graph.nodes:
        if node.op != "call_function" or not isinstance(node.meta.get("val"), torch.Tensor):
            continue
        if batch_axis(node) is None:
            continue  # computed once, with the weights
        if node.target in PRODUCTS:
            left, right = arguments(node)
            inner = value(right).shape[-2] if opname(node) != "tensordot" else value(left).shape[-1]
            macs += prod(features(node)) * inner
        elif opname(node) in POINTWISE and opname(node) != "_to_copy":
            operations[opname(node)] += prod(features(node))
    return macs, dict(operations.most_common())
