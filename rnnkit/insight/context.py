"""How many steps of context a model uses: its loss when the state begins anew some steps before."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnnkit.batch import SequenceBatch
from rnnkit.errors import UserError
from rnnkit.insight.flow import Length
from rnnkit.insight.losses import Losses, step_losses
from rnnkit.insight.record import as_batch, as_module, call, evaluating


class ContextUsed(NamedTuple):
    """The mean loss by the number of steps that the model reads.

    Args:
        lags: the numbers of steps.
        losses: [K], the mean loss of one step after reading so many from the initial state.
        full: the mean loss after reading everything, from the given state.
    """

    lags: list[int]
    losses: Tensor
    full: float

    def length(self, share: float = 0.01) -> Length:
        """Return the least number of steps with which the loss is within `share` of that with all of them."""
        enough = (self.losses <= self.full + share * abs(self.full)).nonzero()
        return Length(self.lags[int(enough[0])], False) if len(enough) else Length(self.lags[-1], True)


def context_used(
    model: Any, batch: Any, state: Any = None, *, loss: Losses = step_losses, places: int = 64
) -> ContextUsed:
    """Return the loss by the number of steps of context: powers of 2 up to half of the steps of the batch.

    What the gradient can reach (`memory_length`) is what could be learned; this is what is used (Khandelwal et al.,
    2018, arXiv:1805.04623). The losses are those of steps in the second half of each row, or of whole sequences. It
    holds for models that run forward in time.

    Args:
        model: see `gradient_flow`.
        state: see `gradient_flow`.
        loss: see `gradient_flow`.
        places: the largest number of steps whose loss is computed.
        batch: a batch without padding or resets in it, whose inputs are one tensor.

    Raises:
        UserError: if the batch is not of that form, or has fewer than two steps; and as `gradient_flow`.

    >>> from rnnkit import RNN
    >>> from rnnkit.cells import GRUCell
    >>> batch = SequenceBatch(torch.randn(4, 32, 3), torch.randn(4, 32, 5))
    >>> context_used(RNN(GRUCell, 3, 5), batch).lags
    [1, 2, 4, 8, 16]
    """
    module, batch = as_module(model), as_batch(batch)
    inputs = batch.inputs
    if not isinstance(inputs, Tensor) or batch.lengths is not None or inputs.shape[1] < 2:
        raise UserError(
            "batch", "inputs that are one tensor of two full steps or more", "another form", fix="lengths=None"
        )
    B, T = inputs.shape[:2]
    lags = [2**n for n in range(T.bit_length()) if 2 ** (n + 1) <= T]
    with evaluating(module), torch.no_grad():
        losses = loss(call(module, batch, state), batch)
        by_step = losses.dim() == 2
        each = min(T - T // 2, max(1, places // B)) if by_step else 1
        at_P = torch.linspace(T // 2 if by_step and each > 1 else T - 1, T - 1, each).long()
        row_N = torch.arange(B).repeat_interleave(each)
        end_N = at_P.repeat(B)
        full = losses[row_N, end_N] if by_step else losses
        means = []
        for lag in lags:
            part = _last_steps(batch, row_N, end_N, lag, by_step=by_step)
            found = loss(call(module, part), part)
            means.append((found[:, -1] if by_step else found).double().mean())
    return ContextUsed(lags, torch.stack(means), float(full.double().mean()))


def _last_steps(batch: SequenceBatch, row_N: Tensor, end_N: Tensor, count: int, *, by_step: bool) -> SequenceBatch:
    """Return the `count` steps that end at a step of a row, each as a sequence of its own."""
    time_NT = end_N[:, None] + torch.arange(1 - count, 1)
    row_N1 = row_N[:, None]
    targets = batch.targets
    if targets.numel():
        targets = targets[row_N1, time_NT] if by_step else targets[row_N]
    return SequenceBatch(batch.inputs[row_N1, time_NT], targets)
