"""The bytes of live tensors after each operation, and how they grow with the rows of a batch."""

import weakref
from bisect import bisect_right
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from rnnkit.compat.torch import TorchDispatchMode, storage_key, tree_leaves


class LiveMemory(TorchDispatchMode):
    """Records in `course` the bytes of new tensors that are alive after each operation.

    Operations of backward passes, of custom functions and of checkpointing are included. Memory that a kernel
    allocates and frees is not.

    >>> import torch
    >>> x = torch.zeros(1000)
    >>> with LiveMemory() as memory:
    ...     y = x + 1
    ...     y = y.exp().view(10, 100)
    >>> memory.course
    [4000, 8000, 8000]
    """

    def __init__(self) -> None:
        super().__init__()
        self.course: list[int] = []
        self._alive = 0
        self._storages: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._note((args, kwargs), new=False)
        results = func(*args, **(kwargs or {}))
        self._note(results, new=True)
        self.course.append(self._alive)
        return results

    def _note(self, values: Any, *, new: bool) -> None:
        for storage in (value.untyped_storage() for value in tree_leaves(values) if isinstance(value, Tensor)):
            key = storage_key(storage)
            if key not in self._storages:
                size = storage.nbytes() if new else 0
                self._alive += size
                self._storages[key] = weakref.ref(storage, partial(self._free, key, size))

    def _free(self, key: int, size: int, _: Any) -> None:
        del self._storages[key]
        self._alive -= size


class Growth:
    """The peak of live memory for any number of rows, from the records of the same work on two and on three rows.

    The result of each operation grows in proportion to the rows, or is constant. The place of the peak depends on the
    number of rows. Records with different operations are compared by their peaks only. `scale` is the length of the
    whole batch relative to that of the rows.

    >>> growth = Growth([100, 90], [100, 110])
    >>> growth.peak(2), growth.peak(10)
    (100, 250)
    """

    def __init__(self, course: Sequence[int], next_course: Sequence[int], scale: float = 1.0) -> None:
        if len(course) != len(next_course):
            course, next_course = [max(course)], [max(next_course)]
        self._course = np.array(course, dtype=np.float64)
        self._slope = np.array(next_course, dtype=np.float64) - self._course
        self._scale = scale

    def peak(self, rows: int) -> int:
        """Return the bytes for a number of rows."""
        return int((self._course + (rows * self._scale - 2) * self._slope).max())

    def most_rows(self, room: int) -> int:
        """Return the largest number of rows whose peak is at most `room` bytes; 0 if there is none."""
        return bisect_right(range(1, 1 << 40), room, key=self.peak)
