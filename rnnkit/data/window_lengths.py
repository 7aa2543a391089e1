"""Windows whose length varies (Merity et al., 2018, arXiv:1708.02182, section 4.1)."""

import torch

SPREAD, SHORT_SHARE, SHORTEST = 5.0, 0.05, 5
"""In steps, the standard deviation; of the windows, the share of half length; in steps, the least that is drawn."""


def random_lengths(total: int, steps: int, epoch: int) -> list[int]:
    r"""The lengths of the windows of one epoch, which add up to `total` steps.

    .. math::
        n \sim \mathcal{N}(\mu, 5), \qquad \mu = \mathrm{steps} \text{ with probability } 0.95,
        \text{ half of it with } 0.05

    rounded, at least 5; one window holds what is left. So no two epochs cut the text in the same places, and no token
    is always the last of its window, where nothing is learnt about what it leads to. Every epoch has the same lengths
    in an order of its own, hence the same number of windows. They depend on nothing but the arguments.

    >>> sum(random_lengths(1000, steps=70, epoch=3))
    1000
    >>> sorted(random_lengths(1000, steps=70, epoch=3)) == sorted(random_lengths(1000, steps=70, epoch=4))
    True
    """
    generator = torch.Generator().manual_seed(0)
    # As many as could be needed, were they all the shortest.
    count = -(-total // SHORTEST)
    short = torch.rand(count, generator=generator) < SHORT_SHARE
    mean = torch.where(short, steps / 2, float(steps))
    drawn = torch.normal(mean, SPREAD, generator=generator).round().long().clamp(min=SHORTEST)
    ends = drawn.cumsum(0)
    lengths = drawn[ends - drawn < total].clone()
    lengths[-1] -= lengths.sum() - total
    order = torch.randperm(len(lengths), generator=generator.manual_seed(1 + epoch))
    kept: list[int] = lengths[order].tolist()
    return kept
