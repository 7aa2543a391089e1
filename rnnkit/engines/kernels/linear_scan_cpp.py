"""The recurrence on a CPU, in C++ that is compiled once on the machine."""

import ctypes
import functools
from importlib import resources

import torch
from torch import Tensor

from rnnkit.engines import toolchain


class _Rows(ctypes.Structure):
    """A tensor by its rows: its address and the strides of batch and time, in real numbers."""

    _fields_ = (("data", ctypes.c_void_p), ("row", ctypes.c_long), ("step", ctypes.c_long))


def forward(a: Tensor, b: Tensor, h0: Tensor, fresh: Tensor | None, reverse: bool) -> Tensor:
    """Return all states [B, T, H]."""
    h = torch.empty_like(b, memory_format=torch.contiguous_format)
    inputs = [_with_rows(x) for x in (a.expand_as(b), b, h0[:, None])]
    _call("forward", inputs, fresh, [h], reverse)
    return h


def backward(
    a: Tensor, h: Tensor, h0: Tensor, fresh: Tensor | None, g: Tensor, last: Tensor, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of a, b and h0."""
    constant = a.shape[1] == 1
    inputs = [_with_rows(x) for x in (a.expand_as(h), h, h0[:, None], g)]
    dh0 = last.clone(memory_format=torch.contiguous_format)[:, None]
    db = torch.empty_like(h)
    da = torch.zeros_like(dh0) if constant else torch.empty_like(h)
    _call("backward", [*inputs[:3]], fresh, [inputs[3], da.expand_as(h) if constant else da, db, dh0], reverse)
    return da.sum_to_size(a.shape), db, dh0[:, 0]


def _call(name: str, before: list[Tensor], fresh: Tensor | None, after: list[Tensor], reverse: bool) -> None:
    """Call the function for this dtype; the order of its arguments is the one in the C++ code."""
    rows, steps, features = after[0].shape
    function = getattr(library(), f"{name}_{str(after[0].dtype).removeprefix('torch.')}")
    fresh = None if fresh is None else fresh.contiguous()
    numbers = (rows, steps, features, int(reverse), torch.get_num_threads())
    function(
        *map(_rows, before),
        ctypes.c_void_p(None if fresh is None else fresh.data_ptr()),
        *map(_rows, after),
        *map(ctypes.c_long, numbers),
    )


def _with_rows(x: Tensor) -> Tensor:
    """Return a tensor with contiguous features; a row that is broadcast over all steps stays broadcast."""
    x = x.resolve_conj().resolve_neg()
    if x.stride(2) == 1:
        return x
    return x[:1, :1].contiguous().expand_as(x) if x.stride()[:2] == (0, 0) else x.contiguous()


def _rows(x: Tensor) -> _Rows:
    width = 2 if x.is_complex() else 1
    return _Rows(x.data_ptr(), width * x.stride(0), width * x.stride(1))


@functools.cache
def library() -> ctypes.CDLL:
    """Compile and load the library at the first call; raise `CompilerError` if the compiler fails."""
    return toolchain.load(resources.files(__package__).joinpath("linear_scan.cpp").read_text())
