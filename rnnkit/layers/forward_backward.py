"""The sum over all paths of a linear chain, and its gradient, in one pass over time."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnnkit.engines.window import flip_valid, valid_steps


class Messages(NamedTuple):
    r"""What reaches each state of each step from both sides, each [T, B, C] and scaled to a sum that does not matter.

    `before` is the message from the start with the step's own score in it, `after` the one from the end without it, so
    that their product is in proportion to the marginals; `back` is `after` with the step's own score.
    """

    before: Tensor
    after: Tensor
    back: Tensor


def log_partition(
    e_BTC: Tensor, transitions_CC: Tensor, start_C: Tensor, end_C: Tensor, lengths_B: Tensor | None
) -> Tensor:
    r"""The logarithm of the sum over all paths through a linear chain, [B]; 0 where a lane is empty.

    .. math::
        \log Z = \log \sum_{y_1 \dots y_T} \exp\Big( s_{y_1} + \sum_t e_{t, y_t} + \sum_t A_{y_{t-1}, y_t} + z_{y_T}
        \Big)

    The forward and the backward recursion (Rabiner 1989) run side by side over one loop of T small matrix products, in
    probabilities that are scaled at every step, with float64 where the device has it: what autograd would need another
    loop for, twice as long, is there when the value is. A score of minus infinity forbids a transition exactly.

    Axes: B lanes, T steps, C states. `lengths_B` None says that all lanes are full.
    """
    with torch.autocast(e_BTC.device.type, enabled=False):
        wide = e_BTC.float() if e_BTC.dtype in (torch.bfloat16, torch.float16) else e_BTC
        log_z_B: Tensor = _LogPartition.apply(wide, transitions_CC, start_C, end_C, lengths_B)
        return log_z_B


def marginals(
    e_BTC: Tensor, transitions_CC: Tensor, start_C: Tensor, end_C: Tensor, lengths_B: Tensor | None
) -> Tensor:
    """The probability of each state at each step, [B, T, C], zero at padding; no gradient flows through it."""
    with torch.no_grad(), torch.autocast(e_BTC.device.type, enabled=False):
        messages, _ = _run(e_BTC.float(), transitions_CC, start_C, end_C, lengths_B)
        unary_TBC, _ = _unary(messages, lengths_B)
        return unary_TBC.transpose(0, 1).to(transitions_CC.dtype)


class _LogPartition(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        e_BTC: Tensor,
        transitions_CC: Tensor,
        start_C: Tensor,
        end_C: Tensor,
        lengths_B: Tensor | None,
    ) -> Tensor:
        messages, log_z_B = _run(e_BTC, transitions_CC, start_C, end_C, lengths_B)
        ctx.save_for_backward(*messages, transitions_CC, lengths_B)
        ctx.dtypes = e_BTC.dtype, transitions_CC.dtype
        return log_z_B.to(e_BTC.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_B: Tensor) -> tuple[Tensor | None, ...]:
        *messages, transitions_CC, lengths_B = ctx.saved_tensors
        found = Messages(*messages)
        unary_TBC, total_TB1 = _unary(found, lengths_B)
        grad_B1 = grad_B[:, None].to(unary_TBC.dtype)
        unary_TBC = unary_TBC * grad_B1
        T, _, C = found.before.shape
        # the expected number of times that j follows i: one product over all steps and lanes
        weight_TB1 = grad_B1 / total_TB1[:-1]
        if lengths_B is not None:
            followed_TB1 = valid_steps(lengths_B - 1, T - 1).T[..., None]
            weight_TB1 = torch.where(followed_TB1, weight_TB1, 0)
        pairs_CC = (found.before[:-1] * weight_TB1).reshape(-1, C).T @ found.back[1:].reshape(-1, C)
        pairs_CC = pairs_CC * _odds(transitions_CC, unary_TBC.dtype)
        last_BC = unary_TBC[-1] if lengths_B is None else _at_end(unary_TBC, lengths_B)
        e_dtype, dtype = ctx.dtypes
        return (
            unary_TBC.transpose(0, 1).to(e_dtype),
            pairs_CC.to(dtype),
            unary_TBC[0].sum(0).to(dtype),
            last_BC.sum(0).to(dtype),
            None,
        )


def _run(
    e_BTC: Tensor, transitions_CC: Tensor, start_C: Tensor, end_C: Tensor, lengths_B: Tensor | None
) -> tuple[Messages, Tensor]:
    dtype = torch.float32 if e_BTC.device.type == "mps" else torch.float64
    B, T, _ = e_BTC.shape
    e_BTC = e_BTC.to(dtype)
    if lengths_B is not None:  # nothing that stands in the padding, NaN included, gets into the sums below
        e_BTC = e_BTC.masked_fill(~valid_steps(lengths_B, T)[..., None], 0)
    top_BT = e_BTC.amax(-1)
    # not 0, so that no step can lose all its states to underflow
    x_BTC = (e_BTC - top_BT[..., None]).exp_().clamp_(min=torch.finfo(dtype).tiny ** 0.5)
    odds_CC = _odds(transitions_CC, dtype)
    # The way back is the way forth through the reversed lane, so both run as one batched product.
    x_T2BC = torch.stack([x_BTC, flip_valid(x_BTC, lengths_B)]).permute(2, 0, 1, 3).contiguous()
    odds_2CC = torch.stack([odds_CC, odds_CC.T])
    ends_2C, tops_2 = _scaled(torch.stack([start_C, end_C]).to(dtype))
    received_T2BC, sent_T2BC = torch.empty_like(x_T2BC), torch.empty_like(x_T2BC)
    scale_T2B1 = x_T2BC.new_empty(T, 2, B, 1)
    received_T2BC[0] = ends_2C[:, None]
    previous = None
    for x, received, sent, scale in zip(
        x_T2BC.unbind(), received_T2BC.unbind(), sent_T2BC.unbind(), scale_T2B1.unbind(), strict=True
    ):
        if previous is not None:
            torch.bmm(previous, odds_2CC, out=received)
        torch.mul(received, x, out=sent)
        torch.sum(sent, -1, keepdim=True, out=scale)
        previous = sent.div_(scale)
    before_TBC = sent_T2BC[:, 0]
    after_TBC, back_TBC = (
        flip_valid(messages_T2BC[:, 1].transpose(0, 1), lengths_B).transpose(0, 1)
        for messages_T2BC in (received_T2BC, sent_T2BC)
    )
    log_BT = scale_T2B1[:, 0, :, 0].log().T + top_BT
    top = tops_2.sum() + (_steps(T, lengths_B) - 1) * _top(transitions_CC).to(dtype)
    if lengths_B is None:
        log_z_B = log_BT.sum(1) + (before_TBC[-1] @ ends_2C[1]).log() + top
    else:
        log_BT = log_BT.masked_fill(~valid_steps(lengths_B, T), 0)
        log_z_B = log_BT.sum(1) + (_at_end(before_TBC, lengths_B) @ ends_2C[1]).log() + top
        log_z_B = torch.where(lengths_B > 0, log_z_B, 0)
    return Messages(before_TBC, after_TBC, back_TBC), log_z_B


def _unary(messages: Messages, lengths_B: Tensor | None) -> tuple[Tensor, Tensor]:
    """Marginals [T, B, C], zero at padding, and the sums [T, B, 1] that scaled them."""
    unary_TBC = messages.before * messages.after
    total_TB1 = unary_TBC.sum(-1, keepdim=True)
    unary_TBC = unary_TBC / total_TB1
    if lengths_B is not None:
        padded_TB1 = ~valid_steps(lengths_B, unary_TBC.shape[0]).T[..., None]
        unary_TBC = unary_TBC.masked_fill(padded_TB1, 0)
    return unary_TBC, total_TB1


def _top(scores: Tensor) -> Tensor:
    return scores.detach().amax()


def _odds(transitions_CC: Tensor, dtype: torch.dtype) -> Tensor:
    return (transitions_CC.detach().to(dtype) - _top(transitions_CC).to(dtype)).exp()


def _scaled(scores_2C: Tensor) -> tuple[Tensor, Tensor]:
    tops_21 = scores_2C.amax(1, keepdim=True)
    return (scores_2C - tops_21).exp(), tops_21[:, 0]


def _steps(T: int, lengths_B: Tensor | None) -> Tensor | int:
    return T if lengths_B is None else lengths_B


def _at_end(x_TBC: Tensor, lengths_B: Tensor) -> Tensor:
    """The row of each lane's last valid step."""
    last_B = (lengths_B - 1).clamp(min=0)
    return x_TBC[last_B, torch.arange(len(last_B), device=last_B.device)]
