"""Gradient clipping by norm, by value and by a percentile of recent norms.

Each class is called with the parameters after the backward pass. It changes their gradients in place and returns two
0-dim tensors: the gradient norm before clipping, and whether the gradient was changed. Nothing waits for the device.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Interval
from torch import Tensor, nn
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm

from rnnkit.compat.torch import foreach_mul_
from rnnkit.errors import UserError
from rnnkit.ranges import Positive


def _norm(parameters: Sequence[nn.Parameter]) -> Tensor:
    return get_total_norm([p.grad for p in parameters if p.grad is not None])


class NoClipping(nn.Module):
    """Leaves the gradients unchanged and returns their norm."""

    def forward(self, parameters: Sequence[nn.Parameter]) -> tuple[Tensor, Tensor]:
        norm = _norm(parameters)
        return norm, torch.zeros_like(norm, dtype=torch.bool)


class ClipNorm(nn.Module):
    """Scales the gradient down to `max_norm` if its norm is larger (Pascanu et al. 2013, arXiv:1211.5063).

    >>> weight = nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([3.0, 4.0])
    >>> norm, clipped = ClipNorm(1.0)([weight])
    >>> norm.item(), clipped.item(), round(weight.grad.norm().item(), 3)
    (5.0, True, 1.0)
    """

    def __init__(self, max_norm: Positive) -> None:
        super().__init__()
        if not max_norm > 0:
            raise UserError("clipping.max_norm", "a number above 0", str(max_norm), fix="clipping.max_norm=1.0")
        self.max_norm = max_norm

    def forward(self, parameters: Sequence[nn.Parameter]) -> tuple[Tensor, Tensor]:
        norm = _norm(parameters)
        clip_grads_with_norm_(parameters, self.max_norm, norm)
        return norm, norm > self.max_norm


class ClipValue(nn.Module):
    """Limits each component of the gradient to [-max_value, max_value] (Graves 2013, arXiv:1308.0850)."""

    def __init__(self, max_value: Positive) -> None:
        super().__init__()
        if not max_value > 0:
            raise UserError("clipping.max_value", "a number above 0", str(max_value), fix="clipping.max_value=0.5")
        self.max_value = max_value

    def forward(self, parameters: Sequence[nn.Parameter]) -> tuple[Tensor, Tensor]:
        norm = _norm(parameters)
        largest = get_total_norm([p.grad for p in parameters if p.grad is not None], norm_type=torch.inf)
        clip_grad_value_(parameters, self.max_value)
        return norm, largest > self.max_value


class ClipPercentile(nn.Module):
    """Clips to a percentile of the recent gradient norms (AutoClip, Seetharaman et al. 2020, arXiv:2007.14469).

    The limit adapts to the training, so that no norm has to be chosen. The first two gradients are not clipped.

    Args:
        percentile: the percentage, in (0, 100), of recent norms below the limit.
        history: the number of recent norms, one for each optimizer step.
    """

    norms: Tensor
    seen: Tensor

    def __init__(
        self, percentile: Annotated[float, Interval(gt=0, lt=100)] = 90.0, history: Annotated[int, Ge(2)] = 1000
    ) -> None:
        super().__init__()
        if not 0 < percentile < 100:
            raise UserError("clipping.percentile", "between 0 and 100", str(percentile), fix="clipping.percentile=90")
        if history < 2:
            raise UserError("clipping.history", "2 or more steps", str(history), fix="clipping.history=1000")
        self.percentile = percentile
        self.register_buffer("norms", torch.full((history,), torch.nan))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def forward(self, parameters: Sequence[nn.Parameter]) -> tuple[Tensor, Tensor]:
        norm = _norm(parameters)
        # a non-finite norm must not enter the history
        remembered = torch.where(norm.isfinite(), norm.float(), torch.nan)
        self.norms.index_copy_(0, (self.seen % len(self.norms))[None], remembered[None])
        self.seen += 1
        limit = torch.nanquantile(self.norms, self.percentile / 100)
        limit = torch.where(self.seen > 1, limit, torch.inf).to(norm.dtype)
        scale = torch.where(norm > limit, limit / norm, 1.0)
        foreach_mul_([p.grad for p in parameters if p.grad is not None], scale)
        return norm, norm > limit
