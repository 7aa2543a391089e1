"""The loss of one step of each row, from which gradients are followed back in time."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rnnkit.batch import IGNORED, SequenceBatch
from rnnkit.errors import UserError
from rnnkit.masks import as_lengths

Losses = Callable[[Any, SequenceBatch], Tensor]
"""Maps the outputs of a model and a batch to the loss of each step [B, T], or of each sequence [B]."""


def step_losses(outputs: Any, batch: SequenceBatch) -> Tensor:
    """Return the loss of each step [B, T] or, if there is one output for each sequence, of each sequence [B].

    Cross-entropy for targets that are ids, the squared error for other targets, and half the squared norm of the output
    for a batch without targets. Ids that are `IGNORED` and targets that are NaN have no loss.

    Args:
        outputs: [B, T, O] or [B, O], or a tuple that begins with them.
        batch: the batch.

    Raises:
        UserError: if outputs and targets do not fit each other.
    """
    y = outputs if isinstance(outputs, Tensor) else outputs[0]
    targets = batch.targets
    if not isinstance(y, Tensor) or y.dim() not in (2, 3):
        got = f"{type(y).__name__}" if not isinstance(y, Tensor) else f"outputs {list(y.shape)}"
        raise UserError("loss", "outputs [B, T, O] or [B, O]", got, fix="loss=my_losses, a function of outputs, batch")
    if targets.numel() == 0 and y.numel() > 0:
        return y.square().sum(-1) / 2
    if not targets.is_floating_point() and targets.shape == y.shape[:-1]:
        losses = F.cross_entropy(y.flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="none")
        return losses.view(targets.shape)
    if targets.is_floating_point() and targets.shape in (y.shape, y.shape[:-1]):
        truth = targets if targets.shape == y.shape else targets[..., None]
        known = ~truth.isnan()
        return (y - torch.where(known, truth, 0).to(y.dtype)).square().masked_fill(~known, 0).sum(-1)
    got = f"outputs {list(y.shape)} and targets {list(targets.shape)}"
    raise UserError("loss", "outputs and targets of one shape", got, fix="loss=my_losses, a function of outputs, batch")


def one_step(losses: Tensor, batch: SequenceBatch, *, first: bool = False) -> Tensor:
    """Return the sum over the rows of the loss of one valid step alone: the last one or, for layers that run backward,
    the first one. The loss of a sequence [B] is taken as it is.
    """
    if losses.dim() == 1:
        return losses.sum()
    B, T = losses.shape
    lengths = batch.lengths
    lengths_B = torch.full((B,), T, device=losses.device) if lengths is None else as_lengths(lengths, losses)
    at_B = torch.zeros_like(lengths_B) if first else (lengths_B - 1).clamp(min=0)
    chosen_B = losses.gather(1, at_B[:, None])[:, 0]
    return torch.where(lengths_B > 0, chosen_B, 0).sum()
