"""Windows whose length varies (Merity et al., 2018, arXiv:1708.02182, section 4.1)."""

from collections.abc import Iterator

import torch
from torch import Tensor

SPREAD, SHORT_SHARE, SHORTEST = 5.0, 0.05, 5
"""In steps, the standard deviation; of the windows, the share of half length; in steps, the least that is drawn."""
BLOCK = 1 << 16
"""Windows that are drawn at a time; a multiple of 16."""


def random_lengths(total: int, steps: int, epoch: int) -> list[int]:
    r"""The lengths of the windows of one epoch, which add up to `total` steps.

    .. math::
        n \sim \mathcal{N}(\mu, 5), \qquad \mu = \mathrm{steps} \text{ with probability } 0.95,
        \text{ half of it with } 0.05

    rounded, at least 5; one window holds what is left. So no two epochs cut the text in the same places, and no token
    is always the last of its window, where nothing is learned about what it leads to. Every epoch has the same lengths
    in an order of its own, hence the same number of windows. They depend on nothing but the arguments.

    >>> sum(random_lengths(1000, steps=70, epoch=3))
    1000
    >>> sorted(random_lengths(1000, steps=70, epoch=3)) == sorted(random_lengths(1000, steps=70, epoch=4))
    True
    """
    parts, begun = [], 0
    for drawn in _drawn(total, steps):
        ends = begun + drawn.cumsum(0)
        parts.append(drawn[ends - drawn < total])
        begun = int(ends[-1])
        if begun >= total:
            break
    lengths = torch.cat(parts)
    lengths[-1] -= lengths.sum() - total
    order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(1 + epoch))
    kept: list[int] = lengths[order].tolist()
    return kept


def _drawn(total: int, steps: int) -> Iterator[Tensor]:
    """Lengths, more than enough of them, in blocks: the numbers are those that one block would have."""
    means, noise = (torch.Generator().manual_seed(0) for _ in range(2))
    sizes = _blocks(-(-total // SHORTEST))  # as many as could be needed, were they all the shortest
    for size in sizes:
        torch.rand(size, generator=noise)  # comes after all that decide which windows are short
    for size in sizes:
        short = torch.rand(size, generator=means) < SHORT_SHARE
        mean = torch.where(short, steps / 2, float(steps))
        yield torch.normal(mean, SPREAD, generator=noise).round().long().clamp(min=SHORTEST)


def _blocks(count: int) -> list[int]:
    """`count` as a sum of blocks, the last one not short, because torch draws fewer than 16 numbers in another way."""
    full = max(count // BLOCK - 1, 0)
    return [BLOCK] * full + [count - full * BLOCK]
