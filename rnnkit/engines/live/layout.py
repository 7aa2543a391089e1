"""The state of one sequence as a record of bytes."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnnkit.cells.state import map_state, state_leaves


class Leaf(NamedTuple):
    """A tensor of the state of one row: its dotted name, its shape and dtype, and its place in a record."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    offset: int

    @property
    def bytes(self) -> int:
        """The size in bytes."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


class Layout:
    """The tensors of a state, one after the other in a record of `bytes` bytes, each at a multiple of 8.

    >>> from rnnkit.cells import LSTMCell
    >>> layout = Layout(LSTMCell(3, 5).initial_state(1))
    >>> [(leaf.name, leaf.offset) for leaf in layout.leaves], layout.bytes
    ([('hidden', 0), ('cell', 24)], 48)
    """

    def __init__(self, state: Any) -> None:
        self.structure = map_state(lambda leaf: leaf.detach().new_empty(0), state)
        self.leaves: list[Leaf] = []
        self.bytes = 0
        for name, tensor in zip(state_names(state), state_leaves(state), strict=True):
            self.leaves.append(Leaf(name, tuple(tensor.shape[1:]), tensor.dtype, self.bytes))
            self.bytes += -(-self.leaves[-1].bytes // 8) * 8

    def record(self, state: Any) -> Tensor:
        """Return the record of a state with one row, [bytes] uint8."""
        record = torch.zeros(self.bytes, dtype=torch.uint8)
        self.write(record, state)
        return record

    def write(self, record: Tensor, state: Any) -> None:
        """Write a state with one row to a record."""
        for view, tensor in zip(self.views(record), state_leaves(state), strict=True):
            view.copy_(tensor.detach()[0])

    def state(self, record: Tensor) -> Any:
        """Return the state in a record, with one row, as views of its memory."""
        views = iter(self.views(record))
        return map_state(lambda _: next(views)[None], self.structure)

    def views(self, record: Tensor) -> list[Tensor]:
        """Return each tensor of a state as a view of the record."""
        return [
            record[leaf.offset : leaf.offset + leaf.bytes].view(leaf.dtype).view(leaf.shape) for leaf in self.leaves
        ]


def state_names(state: Any, prefix: str = "") -> list[str]:
    """Return the dotted name of each tensor of a state; one that is a single tensor is named `state`.

    >>> from rnnkit.cells import GRUCell, LSTMCell, Stack
    >>> state_names(Stack([GRUCell(3, 5), LSTMCell(5, 5)]).initial_state(1))
    ['0', '1.hidden', '1.cell']
    """
    if isinstance(state, Tensor):
        return [prefix or "state"]
    fields = getattr(state, "_fields", range(len(state)))
    return [
        name
        for field, part in zip(fields, state, strict=True)
        for name in state_names(part, f"{prefix}.{field}" if prefix else str(field))
    ]
