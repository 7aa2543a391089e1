"""Memory at fixed addresses that loops share, because none keeps data in it."""

import threading
from collections.abc import Hashable, Iterable
from typing import NamedTuple
from weakref import WeakValueDictionary

import torch
from torch import Tensor

ALIGNMENT, SMALLEST = 512, 1 << 20


class Shape(NamedTuple):
    """Sizes, strides and dtype of a tensor."""

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, sizes: Iterable[int], dtype: torch.dtype) -> "Shape":
        """Return a contiguous shape."""
        return cls.like(torch.empty(tuple(sizes), dtype=dtype, device="meta"))

    @classmethod
    def like(cls, tensor: Tensor) -> "Shape":
        """Return a shape with the memory order of a tensor, without gaps."""
        meta = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
        like = torch.empty_like(meta, memory_format=torch.preserve_format)
        return cls(tuple(like.shape), like.stride(), like.dtype)

    @property
    def bytes(self) -> int:
        """The size in memory, up to the beginning of the next tensor."""
        numbers = (
            0 if 0 in self.sizes else 1 + sum((n - 1) * by for n, by in zip(self.sizes, self.strides, strict=True))
        )
        return -(-numbers * self.dtype.itemsize // ALIGNMENT) * ALIGNMENT


class Arena:
    """One block of memory; a loop may use it while it holds the `lock`."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.lock = threading.Lock()
        # zeros, so that unused rows compute with finite numbers at first
        self._block = torch.zeros(size, dtype=torch.uint8, device=device)

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self._block.numel()

    def tensors(self, shapes: Iterable[Shape]) -> list[Tensor]:
        """Return tensors one after another from the beginning of the block.

        >>> arena = Arena(1024, torch.device("cpu"))
        >>> one, two = arena.tensors([Shape.of([2, 3], torch.float32), Shape.of([4], torch.bool)])
        >>> one.shape, two.dtype, two.data_ptr() - one.data_ptr()
        (torch.Size([2, 3]), torch.bool, 512)
        """
        found, begin = [], 0
        for shape in shapes:
            part = self._block[begin : begin + shape.bytes].view(shape.dtype)
            found.append(part.as_strided(shape.sizes, shape.strides))
            begin += shape.bytes
        return found


def arena_for(place: Hashable, size: int, device: torch.device) -> Arena:
    """Return the block of a place, such as a stream of a device; a larger one if it is too small.

    The size is rounded up to a power of two, so that loops of similar size share a block.
    """
    with _arenas_lock:
        arena = _arenas.get(place)
        if arena is None or arena.size < size:
            arena = _arenas[place] = Arena(max(SMALLEST, 1 << (size - 1).bit_length()), device)
        return arena


_arenas: "WeakValueDictionary[Hashable, Arena]" = WeakValueDictionary()
_arenas_lock = threading.Lock()
