"""The memory of live tensors after each operation, and its growth with the number of rows of a batch."""

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rnnkit.compat.torch import TorchDispatchMode, storage_key, tree_leaves


class LiveMemory(TorchDispatchMode):
    """A mode that appends to `course` the number of bytes of new live tensors after each operation.

    It sees every operation, those of backward passes, custom functions and recomputation included. It does not see
    temporary memory of a kernel, nor tensors that existed before.

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
        for given in tree_leaves((args, kwargs)):
            self._note(given, new=False)
        results = func(*args, **(kwargs or {}))
        for result in tree_leaves(results):
            self._note(result, new=True)
        self.course.append(self._alive)
        return results

    def _note(self, value: Any, *, new: bool) -> None:
        if not isinstance(value, Tensor):
            return
        storage = value.untyped_storage()
        key = storage_key(storage)
        if key in self._storages:
            return
        size = storage.nbytes() if new else 0
        self._alive += size

        def gone(_: Any) -> None:
            del self._storages[key]
            self._alive -= size

        self._storages[key] = weakref.ref(storage, gone)


class Growth:
    """The peak of live memory for any number of rows, extrapolated from the courses for two and for three rows.

    The result of each operation either grows in proportion to the rows or is constant. So the course for n rows is
    known at every operation, and with it the place of the peak, which can differ from that for few rows. If the two
    courses do not consist of the same operations, only their peaks are extrapolated.

    Args:
        course: the live bytes after each operation for two rows.
        next_course: those for three rows.
        scale: a factor for the rows, to make up for sequences that were shortened.

    >>> growth = Growth([100, 90], [100, 110])
    >>> growth.peak(2), growth.peak(10)
    (100, 250)
    """

    FEW = 2, 3
    """The number of rows of the two courses."""

    def __init__(self, course: Sequence[int], next_course: Sequence[int], scale: float = 1.0) -> None:
        if len(course) != len(next_course):
            course, next_course = [max(course)], [max(next_course)]
        self._course: NDArray[np.float64] = np.array(course, dtype=np.float64)
        self._slope = np.array(next_course, dtype=np.float64) - self._course
        self._scale = scale

    def peak(self, lanes: int) -> int:
        """Return the peak in bytes for a number of rows."""
        return int((self._course + (lanes * self._scale - self.FEW[0]) * self._slope).max())

    def most_lanes(self, room: int) -> int:
        """Return the largest number of rows whose peak is at most `room` bytes; 0 if there is none."""
        steady = self._slope <= 0
        if (self._course[steady] > room).any():
            return 0
        with np.errstate(divide="ignore"):
            lanes = self.FEW[0] + (room - self._course[~steady]) / self._slope[~steady]
        return max(0, int(lanes.min(initial=np.inf) / self._scale)) if len(lanes) else 2**62
