"""A growing sequence of integers, in memory or in a temporary file."""

import os
import shutil
import tempfile
import weakref
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnkit.errors import UserError

IN_MEMORY = 1 << 26
"""The number of integers that are kept in memory: 256 MiB as int32. Beyond it, all are moved to disk."""
CHUNK = 1 << 20
"""The smallest number of integers per chunk. A chunk has the smallest type that holds its largest number."""


class _Chunk(NamedTuple):
    numbers: NDArray[Any] | None  # None if they are in the file
    offset: int  # in the file, in bytes
    dtype: np.dtype[Any]


class Store:
    """A sequence of nonnegative integers that can be appended to and read in parts.

    The temporary file has no name, so that it is always removed with the process. It is in the folder of TMPDIR.
    Reading a part lets the system prefetch the next one. The disk must have space for `expected` bytes, an estimate of
    the total, when the file is created.

    Raises:
        UserError: the disk has no space.

    >>> store = Store()
    >>> store.append(np.arange(300))
    >>> len(store), store.read(254, 258).tolist()
    (300, [254, 255, 256, 257])
    """

    def __init__(self) -> None:
        self.expected = 0
        self._chunks: list[_Chunk] = []
        self._starts: list[int] = []
        self._length = 0
        self._waiting: list[NDArray[Any]] = []
        self._waiting_length = 0
        self._file: IO[bytes] | None = None
        self._bytes = 0  # size of the file
        self._written = 0  # chunks in the file

    def __len__(self) -> int:
        return self._length + self._waiting_length

    @property
    def is_on_disk(self) -> bool:
        """Whether the numbers are in the temporary file."""
        self._flush()
        return self._file is not None

    def append(self, numbers: NDArray[Any]) -> None:
        """Append numbers [N]."""
        if not len(numbers):
            return
        self._waiting.append(_narrowed(numbers))
        self._waiting_length += len(numbers)
        if self._waiting_length >= CHUNK:
            self._flush()

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """The numbers from `start` up to, not including, `stop`, in an unsigned type."""
        self._flush()
        stop = min(stop, self._length)
        if start >= stop:
            return np.empty(0, np.uint8)
        parts = []
        for at in range(bisect_right(self._starts, start) - 1, bisect_left(self._starts, stop)):
            begin = self._starts[at]
            end = self._starts[at + 1] if at + 1 < len(self._starts) else self._length
            parts.append(self._part(self._chunks[at], max(start, begin) - begin, min(stop, end) - begin))
        return _concatenated(parts)

    def truncate(self, length: int) -> None:
        """Remove all numbers after the first `length`."""
        self._flush()
        while self._starts and self._starts[-1] >= length:
            self._starts.pop()
            self._chunks.pop()
        self._written = min(self._written, len(self._chunks))
        self._length = min(self._length, length)

    def _part(self, chunk: _Chunk, start: int, stop: int) -> NDArray[Any]:
        if chunk.numbers is not None:
            return chunk.numbers[start:stop]
        assert self._file is not None
        size = (stop - start) * chunk.dtype.itemsize
        offset = chunk.offset + start * chunk.dtype.itemsize
        content = os.pread(self._file.fileno(), size, offset)
        while len(content) < size:  # a signal interrupted the read
            more = os.pread(self._file.fileno(), size - len(content), offset + len(content))
            if not more:
                raise OSError("the temporary file of tokens is truncated")
            content += more
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file.fileno(), offset + size, size, os.POSIX_FADV_WILLNEED)
        return np.frombuffer(content, chunk.dtype)

    def _flush(self) -> None:
        if not self._waiting:
            return
        numbers = _concatenated(self._waiting)
        self._waiting, self._waiting_length = [], 0
        self._starts.append(self._length)
        self._length += len(numbers)
        self._chunks.append(_Chunk(numbers, 0, numbers.dtype))
        if self._length > IN_MEMORY:
            self._write()

    def _write(self) -> None:
        """Write the chunks in memory to the file."""
        folder = None
        try:
            folder = tempfile.gettempdir()
            if self._file is None:
                room = shutil.disk_usage(folder).free
                if room < self.expected:
                    raise _disk_full(folder, self.expected, room)
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  it is open as long as the store
                weakref.finalize(self, self._file.close)
            while self._written < len(self._chunks):
                numbers = self._chunks[self._written].numbers
                assert numbers is not None
                rest = numbers.data.cast("B")
                self._chunks[self._written] = _Chunk(None, self._bytes, numbers.dtype)
                self._bytes += len(rest)
                self._written += 1
                while rest:
                    rest = rest[os.write(self._file.fileno(), rest) :]
        except OSError as error:
            if folder is None:
                raise _disk_full("a temporary folder", self.expected, 0) from error
            raise _disk_full(folder, max(self.expected, self._bytes), shutil.disk_usage(folder).free) from error


def _narrowed(numbers: NDArray[Any]) -> NDArray[Any]:
    smallest = np.min_scalar_type(int(numbers.max())) if numbers.dtype.itemsize > 1 else np.dtype(np.uint8)
    return np.ascontiguousarray(numbers, smallest)


def _concatenated(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _disk_full(folder: str, needed: int, room: int) -> UserError:
    return UserError(
        "TMPDIR",
        f"space for the tokens of the text, {_size(needed)} or more",
        f"{_size(room)} free in {folder}",
        fix="TMPDIR=/a/folder/on/a/larger/disk in front of the command",
    )


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
