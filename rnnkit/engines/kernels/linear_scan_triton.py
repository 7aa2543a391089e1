"""The recurrence on a GPU: one program for each row and block of features processes chunks of time in sequence.

Inside a chunk, the steps are combined by an associative scan over (a, b, fresh), in registers; between chunks the last
state is carried. Complex numbers are pairs of real ones, in memory as well. The gradient of b is the same recurrence in
the other direction, with a of the next step.
"""
# Triton functions are not typed Python, and Triton is not installed on machines without a GPU.
# mypy: disable-error-code="import-not-found, no-untyped-def"

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

CHUNK, BLOCK = 32, 32


@triton.jit
def _join(a, b, fresh, later_a, later_b, later_fresh):
    """Combine two segments of time; what precedes a fresh step is dropped, not multiplied by zero."""
    kept_a = tl.where(later_fresh > 0, 0.0, later_a * a)
    kept_b = tl.where(later_fresh > 0, 0.0, later_a * b)
    return kept_a, later_b + kept_b, tl.maximum(fresh, later_fresh)


@triton.jit
def _join_complex(a, ai, b, bi, fresh, later_a, later_ai, later_b, later_bi, later_fresh):
    """Combine two segments of complex numbers."""
    cut = later_fresh > 0
    kept_a = tl.where(cut, 0.0, later_a * a - later_ai * ai)
    kept_ai = tl.where(cut, 0.0, later_a * ai + later_ai * a)
    kept_b = tl.where(cut, 0.0, later_a * b - later_ai * bi)
    kept_bi = tl.where(cut, 0.0, later_a * bi + later_ai * b)
    return kept_a, kept_ai, later_b + kept_b, later_bi + kept_bi, tl.maximum(fresh, later_fresh)


@triton.jit
def _scan_kernel(
    a_ptr, b_ptr, start_ptr, fresh_ptr, h_ptr,
    steps, features, a_row, a_step, b_row, b_step, shift, sign,
    REVERSE: tl.constexpr, COMPLEX: tl.constexpr, FRESH: tl.constexpr,
    CHUNK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """h_t = a_t h_{t-1} + b_t. With shift 1, a and fresh are those of the previous step, and 1 and false at the first.

    sign -1 conjugates a. The result and the states before the first step are contiguous.
    """
    row = tl.program_id(0).to(tl.int64)
    j = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    width: tl.constexpr = 2 if COMPLEX else 1
    inside = j < features
    carry = tl.load(start_ptr + (row * features + j) * width, inside, 0.0)
    carry_i = carry
    if COMPLEX:
        carry_i = tl.load(start_ptr + (row * features + j) * width + 1, inside, 0.0)
    rows = tl.arange(0, CHUNK)
    for first in range(0, steps, CHUNK):
        s = first + rows
        t = (steps - 1 - s if REVERSE else s).to(tl.int64)
        t_a = t + shift if REVERSE else t - shift
        here = (s < steps)[:, None] & inside[None, :]
        here_a = here & (s >= shift)[:, None]
        # steps after the end multiply by one and add zero, so that the carry is the last state
        at_a = a_ptr + row * a_row + t_a[:, None] * a_step + j[None, :] * width
        at_b = b_ptr + row * b_row + t[:, None] * b_step + j[None, :] * width
        at_h = h_ptr + ((row * steps + t)[:, None] * features + j[None, :]) * width
        a = tl.load(at_a, here_a, 1.0)
        b = tl.load(at_b, here, 0.0)
        fresh = tl.zeros([CHUNK, BLOCK], tl.int32)
        if FRESH:
            fresh += tl.load(fresh_ptr + row * steps + t_a, (s >= shift) & (s < steps), 0).to(tl.int32)[:, None]
        last = rows[:, None] == tl.minimum(CHUNK, steps - first) - 1
        if COMPLEX:
            ai = sign * tl.load(at_a + 1, here_a, 0.0)
            bi = tl.load(at_b + 1, here, 0.0)
            a, ai, b, bi, cut = tl.associative_scan((a, ai, b, bi, fresh), 0, _join_complex)
            h = b + tl.where(cut > 0, 0.0, a * carry[None, :] - ai * carry_i[None, :])
            hi = bi + tl.where(cut > 0, 0.0, a * carry_i[None, :] + ai * carry[None, :])
            tl.store(at_h + 1, hi, here)
            carry_i = tl.sum(tl.where(last, hi, 0.0), 0)
        else:
            a, b, cut = tl.associative_scan((a, b, fresh), 0, _join)
            h = b + tl.where(cut > 0, 0.0, a * carry[None, :])
        tl.store(at_h, h, here)
        carry = tl.sum(tl.where(last, h, 0.0), 0)


def forward(a: Tensor, b: Tensor, h0: Tensor, fresh: Tensor | None, reverse: bool) -> Tensor:
    """Return all states [B, T, H]."""
    return _scan(a.expand_as(b), b, h0, fresh, reverse, backward=False)


def backward(
    a: Tensor, h: Tensor, h0: Tensor, fresh: Tensor | None, g: Tensor, last: Tensor, reverse: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of a, b and h0."""
    db = _scan(a.expand_as(h), g, last, fresh, not reverse, backward=True)
    late, early = (slice(None, -1), slice(1, None)) if reverse else (slice(1, None), slice(None, -1))
    first = -1 if reverse else 0
    da = torch.empty_like(db)
    torch.mul(db[:, late], h[:, early].conj(), out=da[:, late])
    torch.mul(db[:, first], h0.conj(), out=da[:, first])
    dh0 = db[:, first] * a.expand_as(h)[:, first].conj()
    if fresh is not None:
        da = da.masked_fill(fresh[..., None], 0)
        dh0 = dh0.masked_fill(fresh[:, first, None], 0)
    return da.sum_to_size(a.shape), db, dh0


def _scan(a: Tensor, b: Tensor, start: Tensor, fresh: Tensor | None, reverse: bool, *, backward: bool) -> Tensor:
    B, T, H = b.shape
    h = torch.empty_like(b, memory_format=torch.contiguous_format)
    reals = [_reals(x) for x in (a, b, start.contiguous(), h)]
    a, b = reals[:2]
    arguments: list[Any] = [a, b, reals[2], a if fresh is None else fresh.contiguous().view(torch.uint8), reals[3]]
    strides = (a.stride(0), a.stride(1), b.stride(0), b.stride(1))
    options = {"REVERSE": reverse, "COMPLEX": h.is_complex(), "FRESH": fresh is not None}
    grid = (B, triton.cdiv(H, BLOCK))
    sign = -1 if backward else 1
    with torch.cuda.device_of(h):
        _scan_kernel[grid](*arguments, T, H, *strides, int(backward), sign, **options, CHUNK=CHUNK, BLOCK=BLOCK)
    return h


def _reals(x: Tensor) -> Tensor:
    """View a tensor as real numbers with contiguous features."""
    x = x.resolve_conj().resolve_neg()
    if x.stride(-1) != 1:
        x = x.contiguous()
    return torch.view_as_real(x).flatten(-2) if x.is_complex() else x
