"""The forward and backward messages of a linear chain, scaled at every step."""

from typing import NamedTuple

import torch
from torch import Tensor

from rnnkit.masks import flip_valid, last_valid, valid_steps


class Messages(NamedTuple):
    r"""The forward and backward messages of each state and step, [T, B, C], each scaled by an arbitrary factor.

    `before` is the message from the start, `back` the one from the end; both include the score of the step. `unary` are
    the marginals, zero at padding, and `total` [T, B, 1] the sums that scaled them.
    """

    before: Tensor
    back: Tensor
    unary: Tensor
    total: Tensor


def run_messages(
    e_BTC: Tensor, transitions_CC: Tensor, start_C: Tensor, end_C: Tensor, lengths_B: Tensor | None
) -> tuple[Messages, Tensor]:
    """Return the scaled messages, and the logarithm of the sum over all paths [B]."""
    B, T, _ = e_BTC.shape
    if lengths_B is not None:  # keeps values in the padding, NaN included, out of the sums below
        e_BTC = e_BTC.masked_fill(~valid_steps(lengths_B, T)[..., None], 0)
    top_BT = e_BTC.amax(-1)
    top_BT = top_BT.masked_fill(top_BT == -torch.inf, 0)
    # not 0, so that underflow cannot remove all states of a step
    floor = torch.finfo(e_BTC.dtype).tiny ** 0.5
    x_BTC = (e_BTC - top_BT[..., None]).exp_().clamp_(min=floor).masked_fill_(e_BTC == -torch.inf, 0)
    odds_CC = odds(transitions_CC)
    # the backward recursion is the forward one through the reversed sequence, so both run as one batched product
    x_T2BC = torch.stack([x_BTC, flip_valid(x_BTC, lengths_B)]).permute(2, 0, 1, 3).contiguous()
    odds_2CC = torch.stack([odds_CC, odds_CC.T])
    ends_2C, tops_2 = _scaled(torch.stack([start_C, end_C]))
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
    top = tops_2.sum() + (step_count(T, lengths_B) - 1) * largest(transitions_CC)
    if lengths_B is None:
        log_z_B = log_BT.sum(1) + (before_TBC[-1] @ ends_2C[1]).log() + top
    else:
        log_BT = log_BT.masked_fill(~valid_steps(lengths_B, T), 0)
        log_z_B = log_BT.sum(1) + (at_end(before_TBC, lengths_B) @ ends_2C[1]).log() + top
    unary_TBC = before_TBC * after_TBC
    total_TB1 = unary_TBC.sum(-1, keepdim=True)
    unary_TBC = unary_TBC / total_TB1
    if lengths_B is not None:
        unary_TBC = unary_TBC.masked_fill(~valid_steps(lengths_B, T).T[..., None], 0)
    # states that were kept at the lower bound should have no part in the sum
    doubtful_B = (unary_TBC * (x_T2BC[:, 0] == floor)).sum((0, 2)) > 1e-9
    log_z_B = log_z_B.masked_fill(doubtful_B, torch.nan)
    if lengths_B is not None:
        log_z_B = torch.where(lengths_B > 0, log_z_B, 0)
    return Messages(before_TBC, back_TBC, unary_TBC, total_TB1), log_z_B


def largest(scores: Tensor) -> Tensor:
    """Return the largest score, without its gradient."""
    return scores.detach().amax()


def odds(transitions_CC: Tensor) -> Tensor:
    """Return the factor of each transition, at most 1."""
    return (transitions_CC.detach() - largest(transitions_CC)).exp()


def _scaled(scores_2C: Tensor) -> tuple[Tensor, Tensor]:
    tops_21 = scores_2C.amax(1, keepdim=True)
    return (scores_2C - tops_21).exp(), tops_21[:, 0]


def step_count(T: int, lengths_B: Tensor | None) -> Tensor | int:
    """Return the number of steps of each row."""
    return T if lengths_B is None else lengths_B


def at_end(x_TBC: Tensor, lengths_B: Tensor) -> Tensor:
    """Return the row of each sequence's last valid step."""
    return last_valid(x_TBC.transpose(0, 1), lengths_B)
