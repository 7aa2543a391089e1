"""The C++ function that runs one step for some rows, with weights that were packed before."""

from math import prod

import torch
from torch import Tensor, fx
from torch.nn.functional import pad

from rnnkit.engines.compiled.cpu.expressions import register_type
from rnnkit.engines.compiled.cpu.function import Writer
from rnnkit.engines.compiled.cpu.schedule import Schedule
from rnnkit.engines.compiled.plan.arguments import Argument
from rnnkit.engines.compiled.trace.graphs import arguments, features, value

LINE = 64
"""The bytes of a cache line, to which the columns of packed weights are rounded up."""
PANEL = 4
"""The number of lines of columns that are packed together."""


class StepWriter(Writer):
    """Generates `static void step(long B, void* const* pointers, char* scratch)` of a schedule.

    Packed weights are arguments of the kind "packed", whose node is the product. With `strides`, those of the weights
    [G, K, N] of each product, weights are read where they are. After `text()`, `scratch` is the number of bytes of
    scratch memory for each row.
    """

    def __init__(self, schedule: Schedule, strides: dict[fx.Node, tuple[int, int, int]] | None = None) -> None:
        super().__init__("step", schedule)
        self.strides = strides
        self.scratch = 0

    def text(self) -> str:
        """Generate the function `step`."""
        body = self.body()
        buffers = []
        self.scratch = 0
        for node, name in self.locals.items():
            kind = register_type(value(node).dtype)
            buffers.append(f"{kind}* const {name} = ({kind}*)(scratch + B * {self.scratch});")
            self.scratch += _rounded_up(int(self._width(node)) * _item(node), LINE)
        head = "static void step(long B, void* const* pointers, char* scratch) {"
        ignored = "(void)scratch; const long lo = 0, hi = B;"
        return "\n".join([head, *self.pointers(), ignored, *buffers, *body, "}", ""])

    def _product(self, node: fx.Node) -> str:
        lanes, weights = self.schedule.products[node]
        S, groups, N, K = self._sizes(node)
        a, lda = self._factor(lanes)
        if self.strides is not None:
            at, (by_group, by_k, by_n) = self._name(Argument("weight", weights)), self.strides[node]
            rows, columns = f"B, {a}", f"{self._local(node)}"
            calls = [
                f"product_in_place<{S}, {N}, {K}>({rows} + {g * K}, {lda}, {at} + {g * by_group}, {by_k}, {by_n}, "
                f"{columns} + {g * N}, {self._width(node)});"
                for g in range(groups)
            ]
            return "\n".join(calls)
        packed, size = self._name(Argument("packed", node)), K * _rounded_up(N * _item(node), LINE) // _item(node)
        c, ldc = self._local(node), self._width(node)
        calls = [
            f"product_of_step<{S}, {N}, {K}>(B, {a} + {g * K}, {lda}, {packed} + {g * size}, {c} + {g * N}, {ldc});"
            for g in range(groups)
        ]
        return "\n".join(calls)

    def _memory(self, argument: Argument) -> str:
        return register_type(value(argument.node).dtype) if argument.kind == "packed" else super()._memory(argument)

    def _width(self, node: fx.Node) -> str:
        if node in self.schedule.products:
            _, groups, N, _ = self._sizes(node)
            return str((groups - 1) * N + _rounded_up(N * _item(node), LINE) // _item(node))
        return str(prod(features(node)))


def strides_of(product: fx.Node, weights: fx.Node, values: Tensor) -> tuple[int, int, int]:
    """Return the strides of the weights of a product as [G, K, N]."""
    by_column = values if weights is arguments(product)[1] else values.transpose(-1, -2)
    group = by_column.stride(0) if by_column.dim() == 3 else 0
    return (group, *by_column.stride()[-2:])  # type: ignore[return-value]


def packed(product: fx.Node, weights: fx.Node, values: Tensor) -> Tensor:
    """Return the weights of a product in panels of columns, one after the other, and the batched products likewise."""
    if values.dtype in (torch.bfloat16, torch.float16):
        values = values.float()  # products are computed in float
    by_column = values if weights is arguments(product)[1] else values.transpose(-1, -2)
    K, N = by_column.shape[-2:]
    line = LINE // values.element_size()
    columns_GKN = pad(by_column.reshape(-1, K, N), (0, _rounded_up(N, line) - N))
    panels = [panel.reshape(-1) for one in columns_GKN for panel in one.split(PANEL * line, dim=1)]
    return torch.cat(panels)


def _item(node: fx.Node) -> int:
    """Return the size of an element in a register."""
    size = value(node).element_size()
    return 4 if value(node).dtype == torch.bfloat16 else size


def _rounded_up(number: int, unit: int) -> int:
    return -(-number // unit) * unit
