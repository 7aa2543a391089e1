"""The partition function of a linear chain and its gradient, in one pass over time."""

import functools
from typing import Any

import torch
from torch import Tensor

from rnnkit.layers.log_recursion import log_recursion
from rnnkit.layers.messages import Messages, at_end, largest, odds, run_messages
from rnnkit.masks import valid_steps

Chain = tuple[Tensor, Tensor, Tensor, Tensor]
"""Emissions [B, T, C], transitions [C, C], start [C], end [C]."""


def log_partition(
    e_BTC: Tensor, transitions_CC: Tensor, start_C: Tensor, end_C: Tensor, lengths_B: Tensor | None
) -> Tensor:
    r"""Return the logarithm of the sum over all paths through a linear chain [B]; 0 for an empty sequence.

    .. math::
        \log Z = \log \sum_{y_1 \dots y_T} \exp\Big( s_{y_1} + \sum_t e_{t, y_t} + \sum_t A_{y_{t-1}, y_t} + z_{y_T}
        \Big)

    The forward and the backward recursion (Rabiner 1989) run together in one loop of T small matrix products, in
    probabilities that are scaled at every step, with float64 if the device supports it. So the gradient, for which
    autograd would need another loop, twice as long, is computed with the value. A score of minus infinity forbids a
    state or a transition exactly.

    If the allowed paths are less likely than the forbidden ones by more than e^-300 at one step, probabilities
    underflow. On a CPU such a batch is summed in logarithms (`log_recursion`). Elsewhere, where the check would have to
    wait for the device, the sequence has a result of NaN, and transitions further than that below the largest one count
    as forbidden. A gradient that is itself differentiated is computed in logarithms too.

    Axes: B sequences, T steps, C states. `lengths_B` is None if there is no padding. The result is at least in float32.
    """
    dtype = _result_dtype(e_BTC, transitions_CC, start_C, end_C)
    return wide_log_partition(e_BTC, transitions_CC, start_C, end_C, lengths_B).to(dtype)


def wide_log_partition(
    e_BTC: Tensor, transitions_CC: Tensor, start_C: Tensor, end_C: Tensor, lengths_B: Tensor | None
) -> Tensor:
    """Compute `log_partition`, in float64 if the device supports it."""
    inputs = wide(e_BTC, transitions_CC, start_C, end_C)
    if e_BTC.shape[1] == 0:
        return inputs[0].sum((1, 2))
    with torch.autocast(e_BTC.device.type, enabled=False):
        if _within_reach(*inputs[1:]):
            log_z_B: Tensor = _LogPartition.apply(*inputs, lengths_B)
            if not (log_z_B.is_cpu and log_z_B.isnan().any()):
                return log_z_B
        return log_recursion(*inputs, lengths_B)


def marginals(
    e_BTC: Tensor, transitions_CC: Tensor, start_C: Tensor, end_C: Tensor, lengths_B: Tensor | None
) -> Tensor:
    """Return the marginal probability of each state at each step [B, T, C], zero at padding, without a gradient."""
    dtype = _result_dtype(e_BTC, transitions_CC, start_C, end_C)
    if e_BTC.shape[1] == 0:
        return e_BTC.to(dtype)
    inputs = wide(e_BTC, transitions_CC, start_C, end_C)
    with torch.no_grad(), torch.autocast(e_BTC.device.type, enabled=False):
        if _within_reach(*inputs[1:]):
            messages, log_z_B = run_messages(*inputs, lengths_B)
            doubtful_B = log_z_B.isnan()
            if not (doubtful_B.is_cpu and doubtful_B.any()):
                unary_TBC = messages.unary.masked_fill(doubtful_B[:, None], torch.nan)
                return unary_TBC.transpose(0, 1).to(dtype)
    # the marginals are the gradient of the sum; copies, since tensors of inference mode cannot be part of a graph
    with torch.inference_mode(False), torch.enable_grad():
        e_BTC, transitions_CC, start_C, end_C = (part.detach().clone() for part in inputs)
        log_z_B = log_recursion(e_BTC.requires_grad_(), transitions_CC, start_C, end_C, lengths_B)
        return torch.autograd.grad(log_z_B.sum(), e_BTC)[0].to(dtype)


def wide(e_BTC: Tensor, transitions_CC: Tensor, start_C: Tensor, end_C: Tensor) -> Chain:
    """Cast a chain to float64, or to float32 if the device does not support float64."""
    dtype = torch.float32 if e_BTC.device.type == "mps" else torch.float64
    return e_BTC.to(dtype), transitions_CC.to(dtype), start_C.to(dtype), end_C.to(dtype)


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
        messages, log_z_B = run_messages(e_BTC, transitions_CC, start_C, end_C, lengths_B)
        ctx.save_for_backward(*messages, e_BTC, transitions_CC, start_C, end_C, lengths_B)
        return log_z_B

    @staticmethod
    def backward(ctx: Any, grad_B: Tensor) -> tuple[Tensor | None, ...]:
        *messages, e_BTC, transitions_CC, start_C, end_C, lengths_B = ctx.saved_tensors
        if torch.is_grad_enabled():  # this backward pass is itself recorded
            chain = e_BTC, transitions_CC, start_C, end_C
            return *_recorded(chain, lengths_B, grad_B, ctx.needs_input_grad), None
        found = Messages(*messages)
        unary_TBC = found.unary * grad_B[:, None]
        T, _, C = found.before.shape
        # the expected number of transitions from i to j: one product over all steps and sequences
        weight_TB1 = grad_B[:, None] / found.total[:-1]
        if lengths_B is not None:
            followed_TB1 = valid_steps(lengths_B - 1, T - 1).T[..., None]
            weight_TB1 = torch.where(followed_TB1, weight_TB1, 0)
        pairs_CC = (found.before[:-1] * weight_TB1).reshape(-1, C).T @ found.back[1:].reshape(-1, C)
        last_BC = unary_TBC[-1] if lengths_B is None else at_end(unary_TBC, lengths_B)
        return (
            unary_TBC.transpose(0, 1),
            pairs_CC * odds(transitions_CC),
            unary_TBC[0].sum(0),
            last_BC.sum(0),
            None,
        )


def _recorded(chain: Chain, lengths_B: Tensor | None, grad_B: Tensor, asked: tuple[bool, ...]) -> list[Tensor | None]:
    """Return the gradients, with a graph."""
    # not the tensors themselves: emissions may have been computed from the other scores
    e_BTC, transitions_CC, start_C, end_C = begun = tuple(part.view_as(part) for part in chain)
    sources = [part for part, wanted in zip(begun, asked, strict=False) if wanted]
    log_z_B = log_recursion(e_BTC, transitions_CC, start_C, end_C, lengths_B)
    found = iter(torch.autograd.grad(log_z_B, sources, grad_B, create_graph=True, allow_unused=True))
    return [next(found) if wanted else None for wanted in asked[: len(chain)]]


def _within_reach(*scores: Tensor) -> bool:
    """Whether no score except minus infinity underflows beside the largest one; checked on CPUs only."""
    if not scores[0].is_cpu:
        return True
    lowest = [part.masked_fill(part == -torch.inf, torch.inf).amin() - largest(part) for part in scores]
    return bool(torch.stack(lowest).amin() > -300)


def _result_dtype(*scores: Tensor) -> torch.dtype:
    return functools.reduce(torch.promote_types, (part.dtype for part in scores), torch.float32)
