"""The recurrence in plain torch, for any device: in parallel within chunks, sequential between them.

Inside a chunk, the pairs (a, b) of neighboring segments are combined, then of segments twice as long, and so on (Hillis
and Steele, 1986, doi:10.1145/7902.7903). A sequence takes T / CHUNK small operations and log2(CHUNK) large ones.
Products extend over one chunk only: they cannot overflow while |a| is below 16, whatever T is.
"""

from collections.abc import Callable

import torch
from torch import Tensor

CHUNK = 32


def forward(a: Tensor, b: Tensor, h0: Tensor, fresh: Tensor | None, reverse: bool) -> Tensor:
    """Return all states [B, T, H]."""
    a = a.expand_as(b)
    if not reverse:
        return _scan(a, b, h0, fresh)
    return _scan(a.flip(1), b.flip(1), h0, None if fresh is None else fresh.flip(1)).flip(1)


def backward(
    a: Tensor,
    h: Tensor,
    h0: Tensor,
    fresh: Tensor | None,
    g: Tensor,
    last: Tensor,
    reverse: bool,
    scan: Callable[..., Tensor] = forward,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of a, b and h0: the same recurrence in the other direction, with a of the next step.

    `scan` computes the recurrence. All other operations are out of place.
    """
    start = -1 if reverse else 0
    back = a.expand_as(h).conj()
    after = _shifted(back, torch.ones_like(back[:, :1]), not reverse)
    cut = None if fresh is None else _shifted(fresh, torch.zeros_like(fresh[:, :1]), not reverse)
    db = scan(after, g, last, cut, not reverse)
    da, dh0 = db * _shifted(h, h0[:, None], reverse).conj(), db[:, start] * back[:, start]
    if fresh is not None:
        da = da.masked_fill(fresh[..., None], 0)
        dh0 = dh0.masked_fill(fresh[:, start, None], 0)
    return da.sum_to_size(a.shape), db, dh0


def _shifted(x: Tensor, first: Tensor, reverse: bool) -> Tensor:
    """Return the values of the previous step, with `first` at the first step."""
    return torch.cat([x[:, 1:], first] if reverse else [first, x[:, :-1]], dim=1)


def _scan(a: Tensor, b: Tensor, h0: Tensor, fresh: Tensor | None) -> Tensor:
    B, T, H = b.shape
    padded = -T % CHUNK
    whole = (B, (T + padded) // CHUNK, CHUNK, H)
    # copies, because the pairs are combined in place
    a = torch.cat([a, a.new_ones(B, padded, H)], dim=1).view(whole)
    b = torch.cat([b, b.new_zeros(B, padded, H)], dim=1).view(whole)
    cut = None if fresh is None else torch.cat([fresh, fresh.new_zeros(B, padded)], dim=1).view(*whole[:3], 1).clone()
    reach = 1
    while reach < CHUNK:
        a_late, b_late = a[:, :, reach:], b[:, :, reach:]
        gained = a_late * b[:, :, :-reach]
        joined = a_late * a[:, :, :-reach]
        if cut is not None:
            # a selection, not a product with zero: the previous state may be NaN
            gained = gained.masked_fill(cut[:, :, reach:], 0)
            joined = joined.masked_fill(cut[:, :, reach:], 0)
            cut[:, :, reach:] = cut[:, :, reach:] | cut[:, :, :-reach]
        b_late += gained
        a_late.copy_(joined)
        reach *= 2
    carry = h0[:, None]
    for n in range(whole[1]):
        gained = a[:, n] * carry
        b[:, n] += gained if cut is None else gained.masked_fill(cut[:, n], 0)
        carry = b[:, n, -1:]
    return b.flatten(1, 2)[:, :T]
