"""Products over all steps at once, and the pool of large buffers for them and for the loops."""

import ctypes
import functools
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from math import prod

import torch
from torch import Tensor

from rnnkit.engines import toolchain

FUNCTIONS = {torch.float32: "matmul_float", torch.float64: "matmul_double"}
NARROW = 96
"""The smallest number of rows and columns for which our packing of long sums is faster."""


def matmul(a_MK: Tensor, b_KN: Tensor) -> Tensor:
    """Return the product [M, N], by our own kernel or torch's, whichever is faster.

    >>> torch.equal(matmul(torch.eye(2), torch.ones(2, 3)), torch.ones(2, 3))
    True
    """
    M, K = a_MK.shape
    N = b_KN.shape[1]
    along_columns = a_MK.stride(1) != 1
    ours = a_MK.is_cpu and a_MK.dtype in FUNCTIONS
    if not ours or 0 in (M, N, K) or (along_columns and min(M, N) < NARROW):
        return torch.mm(a_MK, b_KN)
    if along_columns and M > N:
        return matmul(b_KN.t(), a_MK.t()).t()
    library = _library()
    if library is None:
        return torch.mm(a_MK, b_KN)
    out_MN = BUFFERS.take((M, N), a_MK.dtype)
    getattr(library, FUNCTIONS[a_MK.dtype])(
        *(ctypes.c_long(size) for size in (M, N, K)),
        ctypes.c_void_p(a_MK.data_ptr()),
        *(ctypes.c_long(stride) for stride in a_MK.stride()),
        ctypes.c_void_p(b_KN.data_ptr()),
        *(ctypes.c_long(stride) for stride in b_KN.stride()),
        ctypes.c_void_p(out_MN.data_ptr()),
        ctypes.c_long(torch.get_num_threads()),
    )
    return out_MN


@functools.cache
def _library() -> ctypes.CDLL | None:
    try:
        return toolchain.load(tiles() + resources.files("rnnkit.engines").joinpath("kernels/matmul.cpp").read_text())
    except toolchain.CompilerError as error:
        warnings.warn(f"products are computed by torch: {error}", stacklevel=2)
        return None


def tiles() -> str:
    """Return the C++ source of the product kernels."""
    return resources.files("rnnkit.engines").joinpath("kernels/tile.hpp").read_text()


class BufferPool:
    """A pool of buffers for reuse: new memory from the system has a page fault for every few KiB, in every step."""

    MOST = 8
    SMALLEST = 1 << 16

    def __init__(self) -> None:
        self._free: list[Tensor] = []
        self._lock = threading.Lock()
        self._sizes: list[int] | None = None

    def take(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return an uninitialized tensor."""
        size = prod(shape)
        with self._lock:
            for n, spare in enumerate(self._free):
                if spare.dtype == dtype and size <= spare.numel() <= 2 * size:
                    return self._free.pop(n)[:size].view(shape)
        return torch.empty(shape, dtype=dtype)

    def give(self, tensors: Iterable[Tensor], used: Iterable[Tensor | None]) -> None:
        """Return tensors to the pool if they share no memory with the `used` ones; the caller must drop them."""
        if torch.is_inference_mode_enabled():
            return  # no backward pass could save them
        kept = {tensor.untyped_storage().data_ptr() for tensor in used if tensor is not None}
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage.data_ptr() in kept:
                continue
            kept.add(storage.data_ptr())
            if self._sizes is not None:
                self._sizes[:] = [storage.nbytes(), *self._sizes][: self.MOST]
            elif storage.nbytes() >= self.SMALLEST:
                whole = torch.empty(0, dtype=tensor.dtype).set_(storage)  # type: ignore[call-overload]
                with self._lock:
                    self._free = [whole, *self._free][: self.MOST]

    @contextmanager
    def emptied(self) -> Iterator[list[int]]:
        """Within the block every buffer is allocated anew; the sizes in bytes of those that would be kept."""
        self.clear()
        sizes: list[int] = []
        self._sizes = sizes
        try:
            yield sizes
        finally:
            self._sizes = None

    def clear(self) -> None:
        """Free all buffers."""
        self._free.clear()


BUFFERS = BufferPool()
