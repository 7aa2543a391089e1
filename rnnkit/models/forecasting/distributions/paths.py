"""Quantiles and scores computed from samples."""

from collections.abc import Sequence

import torch
from torch import Tensor


def quantiles_of_samples(samples_SBNC: Tensor, levels: Sequence[float]) -> Tensor:
    """Return quantiles [Q, B, N, C], with linear interpolation between the samples.

    >>> quantiles_of_samples(torch.arange(5.0).view(5, 1, 1, 1), [0.5, 0.875]).flatten().tolist()
    [2.0, 3.5]
    """
    sorted_SBNC = samples_SBNC.sort(0).values
    last = len(sorted_SBNC) - 1
    found = []
    for level in levels:
        low = min(int(level * last), last - 1) if last else 0
        part = level * last - low
        found.append(torch.lerp(sorted_SBNC[low], sorted_SBNC[min(low + 1, last)], part))
    return torch.stack(found)


def crps_of_samples(samples_SBNC: Tensor, targets_BNC: Tensor) -> Tensor:
    r"""Return the continuous ranked probability score [B, N, C], estimated without bias (Zamo & Naveau 2018).

    .. math::
        \frac{1}{S} \sum_i |x_i - y| - \frac{1}{2 S (S - 1)} \sum_{i,j} |x_i - x_j|

    For a single sample, it is the absolute error.

    >>> crps_of_samples(torch.tensor([1.0, 3.0]).view(2, 1, 1, 1), torch.full((1, 1, 1), 2.0)).item()
    0.0
    """
    S = len(samples_SBNC)
    error_BNC = (samples_SBNC - targets_BNC).abs().mean(0)
    if S == 1:
        return error_BNC
    # sorted, the i-th sample is the larger one of i pairs and the smaller one of S - 1 - i
    weights_S = 2 * torch.arange(S, device=samples_SBNC.device, dtype=samples_SBNC.dtype) - (S - 1)
    spread_BNC: Tensor = torch.tensordot(weights_S, samples_SBNC.sort(0).values, 1) / (S * (S - 1))
    return error_BNC - spread_BNC
