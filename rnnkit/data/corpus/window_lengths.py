"""Random window lengths (Merity et al., 2018, arXiv:1708.02182, section 4.1)."""

from collections.abc import Iterator

import torch
from torch import Tensor

SPREAD, SHORT_SHARE, SHORTEST = 5.0, 0.05, 5
"""The standard deviation in steps, the fraction of windows with half the length, and the smallest length in steps."""
BLOCK = 1 << 16
"""The number of windows that are drawn at a time; a multiple of 16."""


def random_lengths(total: int, steps: int, epoch: int) -> list[int]:
    r"""The lengths of the windows of one epoch, which add up to `total` steps.

    .. math::
        n \sim \mathcal{N}(\mu, 5), \qquad \mu = \mathrm{steps} \text{ with probability } 0.95,
        \text{ half of it with } 0.05

    rounded, at least 5. One window has the remaining steps. The boundaries differ between epochs, so that no token is
    always the last of its window, where it gets no gradient from later tokens. All epochs have the same lengths in a
    different order, hence the same number of windows. The lengths depend only on the arguments.

    Args:
        total: the number of steps of a lane.
        steps: the mean length of a window.
        epoch: the number of the epoch.

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
    """At least as many lengths as needed, in blocks. The values do not depend on the size of the blocks."""
    means, noise = (torch.Generator().manual_seed(0) for _ in range(2))
    sizes = _blocks(-(-total // SHORTEST))  # enough even if all windows are as short as possible
    for size in sizes:
        torch.rand(size, generator=noise)  # is drawn after the numbers that decide which windows are short
    for size in sizes:
        short = torch.rand(size, generator=means) < SHORT_SHARE
        mean = torch.where(short, steps / 2, float(steps))
        yield torch.normal(mean, SPREAD, generator=noise).round().long().clamp(min=SHORTEST)


def _blocks(count: int) -> list[int]:
    """`count` as a sum of block sizes of at least 16, because torch draws fewer than 16 numbers differently."""
    full = max(count // BLOCK - 1, 0)
    return [BLOCK] * full + [count - full * BLOCK]
