"""How far a metric would move on another split of the same kind: the percentile bootstrap."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

MetricsOfWeights = Callable[[Tensor], dict[str, Tensor]]
"""Takes weights [R, N], one row a resample, one column a sequence; returns metrics [R] by name."""

CHUNK = 2**20
"""Weights that are held at a time."""


def intervals(
    metrics: MetricsOfWeights, count: int, *, resamples: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    r"""The middle 95 % of each figure over resamples of the split (Efron and Tibshirani 1993).

    A resample draws N of the N sequences with replacement, so a sequence counts w times, which is all that a figure
    needs to know of it:

    .. math:: (w_1, \dots, w_N) \sim \mathrm{Multinomial}(N; 1/N, \dots, 1/N)

    Sequences are taken to be independent. Where they come in groups (speakers, engines) the truth is wider.

    * `metrics`: called with weights [R, N]; where one is NaN (a resample without one of two classes) it is left out.
    * `count`: N.

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
    """How often each sequence is drawn, resample by resample, a few at a time."""
    generator = torch.Generator().manual_seed(seed)
    rows = max(1, CHUNK // count)
    for start in range(0, resamples, rows):
        drawn_RN = torch.randint(count, (min(rows, resamples - start), count), generator=generator)
        yield torch.zeros(drawn_RN.shape).scatter_add_(1, drawn_RN, torch.ones(drawn_RN.shape))
