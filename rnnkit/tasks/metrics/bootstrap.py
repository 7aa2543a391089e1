"""Confidence intervals of metrics by the percentile bootstrap."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

MetricsOfWeights = Callable[[Tensor], dict[str, Tensor]]
"""A function of weights [R, N], one row for each resample and one column for each sequence, that returns metrics [R]
by name."""

CHUNK = 2**20
"""The largest number of weights in memory at a time."""


def intervals(
    metrics: MetricsOfWeights, count: int, *, resamples: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    r"""Returns 95 % confidence intervals of metrics by the percentile bootstrap (Efron and Tibshirani 1993).

    A resample draws N of the N sequences with replacement. A sequence is drawn w times, and w is its weight in the
    metrics:

    .. math:: (w_1, \dots, w_N) \sim \mathrm{Multinomial}(N; 1/N, \dots, 1/N)

    Sequences are assumed to be independent. If they come in groups (speakers, engines), the true interval is wider.

    Args:
        metrics: called with weights [R, N]. A metric that is NaN, as in a resample with one class only, is left out.
        count: N.
        resamples: the number of resamples.
        seed: the seed of the resamples.

    >>> correct_N = torch.tensor([1.0] * 90 + [0.0] * 10)
    >>> low, high = intervals(lambda w_RN: {"accuracy": w_RN @ correct_N / 100}, 100)["accuracy"]
    >>> 0.80 < low < 0.90 < high < 0.98
    True
    """
    found: dict[str, list[Tensor]] = {}
    for weights_RN in _weights(count, resamples, seed):
        for name, values_R in metrics(weights_RN).items():
            found.setdefault(name, []).append(values_R)
    ends = torch.tensor([0.025, 0.975], dtype=torch.float64)
    return {name: _pair(torch.cat(parts).double().nanquantile(ends)) for name, parts in found.items()}


def _pair(ends: Tensor) -> tuple[float, float]:
    return float(ends[0]), float(ends[1])


def _weights(count: int, resamples: int, seed: int) -> Iterator[Tensor]:
    """Yields the number of times that each sequence is drawn [R, N], a few resamples at a time."""
    generator = torch.Generator().manual_seed(seed)
    rows = max(1, CHUNK // count)
    for start in range(0, resamples, rows):
        drawn_RN = torch.randint(count, (min(rows, resamples - start), count), generator=generator)
        yield torch.zeros(drawn_RN.shape).scatter_add_(1, drawn_RN, torch.ones(drawn_RN.shape))
