"""Targets of one step of each row, from whose loss gradients are followed through time."""

import torch
from torch import Tensor

from rnnkit.batch import IGNORED, SequenceBatch


def only_step(targets: Tensor, lengths: Tensor | None, *, first: bool = False) -> Tensor:
    """Return targets [B, N, ...] of which only those of the last valid step (or of the first one) are known.

    >>> only_step(torch.tensor([[1, 2, 3], [4, 5, -100]]), torch.tensor([3, 2]))
    tensor([[-100, -100,    3],
            [-100,    5, -100]])
    """
    B, N = targets.shape[:2]
    at_B = torch.full((B,), N, device=targets.device) if lengths is None else lengths.to(targets.device)
    at_B = torch.zeros_like(at_B) if first else at_B - 1
    hidden_BN = torch.arange(N, device=targets.device) != at_B[:, None]
    unknown = torch.nan if targets.is_floating_point() else IGNORED
    return targets.masked_fill(hidden_BN.view(B, N, *[1] * (targets.dim() - 2)), unknown)


def with_one_step(batch: SequenceBatch, *, first: bool = False) -> SequenceBatch:
    """Return a batch with targets of one step only, if it has one for each step."""
    if batch.targets.dim() < 2 or batch.targets.shape[1] != batch.shape[1]:
        return batch
    return batch._replace(targets=only_step(batch.targets, batch.lengths, first=first))
