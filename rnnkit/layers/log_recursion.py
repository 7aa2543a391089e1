"""The partition function of a linear chain in logarithms: for any scores, and differentiable any number of times."""

import torch
from torch import Tensor

from rnnkit.masks import valid_steps


def log_recursion(
    e_BTC: Tensor, transitions_CC: Tensor, start_C: Tensor, end_C: Tensor, lengths_B: Tensor | None
) -> Tensor:
    """Return the result of `log_partition` by differentiable operations, which are two to three times slower.

    A sequence without an allowed path has minus infinity, and gradients of zero.

    >>> scores = torch.zeros(2, 2), torch.zeros(2), torch.zeros(2)
    >>> log_recursion(torch.zeros(1, 3, 2), *scores, None).exp().round()
    tensor([8.])
    """
    B, T, C = e_BTC.shape
    valid_BT = None if lengths_B is None else valid_steps(lengths_B, T)
    if valid_BT is not None:
        e_BTC = e_BTC.masked_fill(~valid_BT[..., None], 0)
    sum_BC = (start_C + e_BTC[:, 0]).expand(B, C)
    for t, e_BC in enumerate(e_BTC.unbind(1)[1:], start=1):
        next_BC = log_sum(sum_BC[:, :, None] + transitions_CC) + e_BC
        sum_BC = next_BC if valid_BT is None else torch.where(valid_BT[:, t, None], next_BC, sum_BC)
    log_z_B = log_sum(sum_BC + end_C)
    return log_z_B if lengths_B is None else torch.where(lengths_B > 0, log_z_B, 0)


def log_sum(scores_BC: Tensor) -> Tensor:
    """Return `logsumexp` over the second axis, with a gradient of zero, not NaN, if all scores are minus infinity."""
    top_B1 = scores_BC.detach().amax(1, keepdim=True)
    top_B1 = top_B1.masked_fill(top_B1 == -torch.inf, 0)
    sum_B1 = (scores_BC - top_B1).exp().sum(1, keepdim=True)
    nothing_B1 = sum_B1 == 0
    return (sum_B1.masked_fill(nothing_B1, 1).log() + top_B1).masked_fill(nothing_B1, -torch.inf).squeeze(1)
