"""The base class of frozen steps, and the one that calls the cell."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.engines.live.layout import Layout


class Frozen(ABC):
    """One step of a cell with the weights that the cell had when it was frozen.

    Args:
        cell: a copy of the cell that nothing else holds, in evaluation mode.
        x: an input of the step with one row.
        y: the output for it.
    """

    def __init__(self, cell: Cell[Any], x: Any, y: Tensor) -> None:
        self.cell = cell
        state = cell.initial_state(1)
        self.layout = Layout(state)
        self.initial = self.layout.record(state)
        self.x = x
        self.x_leaves = state_leaves(x)
        self.y_shape, self.y_dtype = tuple(y.shape[1:]), y.dtype
        self.limit: int | None = getattr(first(cell), "vocabulary_size", None)

    @cached_property
    def fingerprint(self) -> bytes:
        """A checksum [32] of the weights, the kinds of the cells and their options, and the dtypes."""
        digest = hashlib.sha256(repr(self.cell).encode())
        for name, tensor in sorted(self.cell.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        for leaf in self.layout.leaves:
            digest.update(f"{leaf.name} {leaf.dtype} {leaf.shape}".encode())
        return digest.digest()

    @abstractmethod
    def push(
        self,
        records: Tensor,
        slots: Sequence[int],
        lengths: Sequence[int],
        begins: Sequence[int],
        xs: list[Tensor],
        y: Tensor,
    ) -> None:
        """Run some sequences over their chunks, and replace their states.

        Args:
            records: [slots, bytes] uint8, the states; those of `slots` are read and written.
            slots: the slot of each sequence; no two are the same.
            lengths: the number of steps of each, 1 or more, in descending order.
            begins: the first row of each in the inputs and outputs.
            xs: the tensors of the input, [rows, ...] each, contiguous.
            y: the outputs [rows, ...], which are written.
        """


class Called(Frozen):
    """A frozen step that is a call of the cell for each sequence alone, so that no sequence depends on others."""

    def push(
        self,
        records: Tensor,
        slots: Sequence[int],
        lengths: Sequence[int],
        begins: Sequence[int],
        xs: list[Tensor],
        y: Tensor,
    ) -> None:
        """Run the sequences one after the other."""
        with torch.inference_mode():
            for slot, length, begin in zip(slots, lengths, begins, strict=True):
                state = map_state(Tensor.clone, self.layout.state(records[slot]))
                for t in range(begin, begin + length):
                    rows = iter(xs)
                    x = map_state(lambda _, rows=rows, t=t: next(rows)[t : t + 1], self.x)
                    y_1O, state = self.cell(x, state)
                    y[t] = y_1O[0]
                self.layout.write(records[slot], state)


def first(cell: Any) -> Any:
    """Return the innermost first cell, which reads the input."""
    while hasattr(cell, "cells") or hasattr(cell, "cell"):
        cell = cell.cells[0] if hasattr(cell, "cells") else cell.cell
    return cell
