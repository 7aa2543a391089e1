"""A frozen step as generated C++."""

import ctypes
from array import array
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.engines import toolchain
from rnnkit.engines.compiled.cpu.program import Program
from rnnkit.engines.live.frozen import Frozen

POINTER, LONG = ctypes.c_void_p, ctypes.c_long


class Compiled(Frozen):
    """A frozen step that is one foreign call for all sequences and steps of a chunk.

    The numbers of a sequence do not depend on the number of other sequences in a call, nor on how it is cut into
    chunks: every step of every sequence runs the same operations in the same order.
    """

    def __init__(self, cell: Cell[Any], x: Any, y: Tensor, program: Program) -> None:
        super().__init__(cell, x, y)
        self.program = program
        library = toolchain.load(program.source())
        addresses = [0] * (program.arguments + 1)
        for n, tensor in program.constants.items():
            addresses[n] = tensor.data_ptr()
        self._given = (POINTER * len(addresses))(*addresses)
        self.given = ctypes.addressof(self._given)
        self._push = library.push
        self._push.argtypes = [POINTER, LONG, POINTER, POINTER, POINTER, POINTER, POINTER, POINTER]
        self._push.restype = None
        self.one = library.one
        self.one.argtypes = [POINTER] * 4
        self.one.restype = None

    def push(
        self,
        records: Tensor,
        slots: Sequence[int],
        lengths: Sequence[int],
        begins: Sequence[int],
        xs: list[Tensor],
        y: Tensor,
    ) -> None:
        """Run all sequences in one call."""
        # kept until the call has returned
        numbers = [array("l", given) for given in (lengths, begins, slots)]
        pointers = [given.buffer_info()[0] for given in numbers]
        inputs = (POINTER * (len(xs) + 1))(*(tensor.data_ptr() for tensor in xs))
        self._push(
            self.given,
            len(slots),
            *pointers,
            records.data_ptr(),
            ctypes.addressof(inputs),
            y.data_ptr(),
        )
