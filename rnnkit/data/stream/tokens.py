"""Token ids that are read from a store when they are asked for."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnkit.data.stream.store import Store

BLOCK = 1 << 20
"""Tokens that are looked up at a time."""


class StoredTokens:
    """The token ids of a text that need not be in memory: a length, and slices as int32 tensors.

    Args:
        numbers: where the text is stored.
        pieces: from where to where, in the order of the text.
        ids: the id of every number.

    >>> store = Store()
    >>> store.append(np.array([7, 8, 9, 7]))
    >>> tokens = StoredTokens(store, [(2, 4), (0, 1)], ids=np.arange(10, dtype=np.int32) * 10)
    >>> len(tokens), tokens[1:], tokens[:2]
    (3, tensor([70, 70], dtype=torch.int32), tensor([90, 70], dtype=torch.int32))
    """

    dtype = torch.int32

    def __init__(self, numbers: Store, pieces: Sequence[tuple[int, int]], ids: NDArray[np.int32]) -> None:
        self._numbers = numbers
        self._ids = ids
        self._starts = np.array([start for start, _ in pieces], np.int64)
        self._ends = np.cumsum([stop - start for start, stop in pieces], dtype=np.int64)  # within the text

    @property
    def is_on_disk(self) -> bool:
        """Whether reading needs the disk."""
        return self._numbers.is_on_disk

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, part: slice) -> Tensor:
        """The ids from one place to another [N]."""
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError("a slice of stored tokens has no step")
        ids = np.empty(max(stop - start, 0), np.int32)
        filled = 0
        at = int(np.searchsorted(self._ends, start, "right"))
        while filled < len(ids):
            end = int(self._ends[at])
            begin = int(self._starts[at]) + start + filled - (int(self._ends[at - 1]) if at else 0)
            count = min(min(end, stop) - start - filled, BLOCK)
            ids[filled : filled + count] = self._ids[self._numbers.read(begin, begin + count)]
            filled += count
            at += start + filled >= end
        return torch.from_numpy(ids)
