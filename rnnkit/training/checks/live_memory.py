"""How many bytes of tensors are alive, operation by operation, and how that grows with the lanes of a batch."""

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rnnkit.compat.torch import TorchDispatchMode, storage_key, tree_leaves


class LiveMemory(TorchDispatchMode):
    """While it is entered, writes into `course` after each operation how many bytes of new tensors are alive.

    Every operation is seen, those of backward passes, of custom functions and of what is computed again for a backward
    pass too. What a kernel takes for itself and gives back is not, nor is what was there before.

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
    """The most that is alive during the same work on any number of lanes, from its courses on two and on three.

    Each operation's result grows in proportion to the lanes or not at all, so that the course on n lanes is known at
    every operation, and with it where the peak is: with few lanes it can be elsewhere than with many. Where the two
    courses are not of the same operations, the peaks are all there is to go by.

    * `scale`: the lanes are to be so many times larger, because they were cut short in time.

    >>> growth = Growth([100, 90], [100, 110])
    >>> growth.peak(2), growth.peak(10)
    (100, 250)
    """

    FEW = 2, 3
    """Lanes of the two courses."""

    def __init__(self, course: Sequence[int], next_course: Sequence[int], scale: float = 1.0) -> None:
        if len(course) != len(next_course):
            course, next_course = [max(course)], [max(next_course)]
        self._course: NDArray[np.float64] = np.array(course, dtype=np.float64)
        self._slope = np.array(next_course, dtype=np.float64) - self._course
        self._scale = scale

    def peak(self, lanes: int) -> int:
        """Bytes, for so many lanes."""
        return int((self._course + (lanes * self._scale - self.FEW[0]) * self._slope).max())

    def most_lanes(self, room: int) -> int:
        """The most lanes whose peak is within `room` bytes; 0 where even one is beyond."""
        steady = self._slope <= 0
        if (self._course[steady] > room).any():
            return 0
        with np.errstate(divide="ignore"):
            lanes = self.FEW[0] + (room - self._course[~steady]) / self._slope[~steady]
        return max(0, int(lanes.min(initial=np.inf) / self._scale)) if len(lanes) else 2**62
