"""One step of a cell as a program: generated C++, packed weights, and the layout of inputs, state and results."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from rnnkit.engines.compiled.cpu.kernel import headers
from rnnkit.engines.compiled.cpu.schedule import Schedule
from rnnkit.engines.compiled.cpu.single import StepWriter, packed, strides_of
from rnnkit.engines.compiled.plan.arguments import Argument, Place
from rnnkit.engines.compiled.plan.partition import weight_values
from rnnkit.engines.compiled.plan.products import tiles
from rnnkit.engines.compiled.trace.graphs import (
    Untraceable,
    ancestors,
    batch_axis,
    features,
    is_random,
    is_tensor,
    value,
)
from rnnkit.engines.compiled.trace.step import Step


class Slot(NamedTuple):
    """A tensor of one row: its pointer's position among the arguments, -1 if the step does not read it."""

    argument: int
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        """The size of a row."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


class Program:
    """A step without gradients; it holds copies of the weights in the form in which the step reads them.

    With `in_place`, the weights are read where they are, and only what is computed from them is a copy: changes of
    their values are seen. This is slower.

    * `text`: the C++ function `step`; `scratch`, its bytes of scratch memory for each row.
    * `constants`: the tensors of its weights by position among the pointers, `arguments` the number of pointers.
    * `inputs`, `state`, `results`: slots; `output` and `ends` are the results that are the output and the new state.

    Raises:
        Untraceable: if the step draws random numbers, or an operation is not supported.
    """

    def __init__(self, step: Step, weights: dict[str, Tensor], *, in_place: bool = False) -> None:
        needed = ancestors([step.y, *step.new_state])
        calls = [node for node in step.graph.nodes if node in needed and node.op == "call_function" and is_tensor(node)]
        if any(is_random(node) for node in calls):
            raise Untraceable("it draws random numbers")
        prologue, used = weight_values(step, calls, needed)
        known = {node: Place(Argument("shared", node)) for node in used if batch_axis(node) is None}
        known |= {node: Place(Argument("row", node)) for node in (*step.x, *step.state)}
        results = list(dict.fromkeys([step.y, *step.new_state]))
        schedule = Schedule(known, [(node, Place(Argument("next", node))) for node in results])
        values = dict(zip(step.weights.values(), (tensor.detach() for tensor in weights.values()), strict=True))
        prologue.run(0, values)
        # bfloat16 factors of a product are read as float
        factors = {
            factor: values[factor].float() if values[factor].dtype == torch.bfloat16 else values[factor]
            for _, factor in schedule.products.values()
        }
        strides = {
            product: strides_of(product, factor, factors[factor]) for product, (_, factor) in schedule.products.items()
        }
        writer = StepWriter(schedule, strides if in_place else None)
        self.text = writer.text()
        self.scratch = writer.scratch
        self.constants: dict[int, Tensor] = {}
        for n, argument in enumerate(writer.arguments):
            if argument.kind == "packed":
                factor = schedule.products[argument.node][1]
                self.constants[n] = packed(argument.node, factor, values[factor])
            elif argument.kind == "weight":
                self.constants[n] = factors[argument.node]
            elif argument.kind == "shared":
                constant = values[argument.node].contiguous()
                self.constants[n] = constant if in_place else constant.clone()
        self.arguments = len(writer.arguments)
        order = {(argument.kind, argument.node): n for n, argument in enumerate(writer.arguments)}

        def slot(kind: str, node: fx.Node) -> Slot:
            return Slot(order.get((kind, node), -1), features(node), value(node).dtype)

        self.inputs = [slot("row", node) for node in step.x]
        self.state = [slot("row", node) for node in step.state]
        self.results = [slot("next", node) for node in results]
        self.output = results.index(step.y)
        self.ends = [results.index(node) for node in step.new_state]

    @property
    def offsets(self) -> list[int]:
        """The place of each tensor of the state in a record, and the size of a record."""
        found = [0]
        for leaf in self.state:
            found.append(found[-1] + -(-leaf.bytes // 8) * 8)
        return found

    def source(self) -> str:
        """Return a library with the functions `once` and `push` (live.hpp)."""
        return "".join([tiles(), headers("pointwise.hpp", "step.hpp"), self.text, self.tables(), headers("live.hpp")])

    def tables(self) -> str:
        """Return the layout as C++ constants."""
        offsets = self.offsets
        inputs = [f"{{{slot.argument}, {slot.bytes}}}" for slot in self.inputs]
        results = [f"{{{slot.argument}, {slot.bytes}}}" for slot in self.results]
        leaves = [
            f"{{{slot.argument}, {end}, {slot.bytes}, {offset}}}"
            for slot, end, offset in zip(self.state, self.ends, offsets[:-1], strict=True)
        ]
        numbers: dict[str, Any] = {
            "ARGUMENTS": self.arguments,
            "INPUTS": len(inputs),
            "LEAVES": len(leaves),
            "RESULTS": len(results),
            "OUTPUT": self.output,
            "SCRATCH": self.scratch,
            "RECORD": offsets[-1],
        }
        return "\n".join(
            [
                "struct Slot { int argument; long bytes; };",
                "struct Leaf { int argument, result; long bytes, offset; };",
                *(f"constexpr long {name} = {number};" for name, number in numbers.items()),
                f"static const Slot INPUT[] = {{{', '.join(inputs)}}}, RESULT[] = {{{', '.join(results)}}};",
                f"static const Leaf LEAF[] = {{{', '.join(leaves) or '{-1, 0, 0, 0}'}}};",
                "",
            ]
        )
