"""Lyapunov exponents of a recurrent layer along the trajectory that its input drives."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.state import map_state
from rnnkit.engines import ScanEvent
from rnnkit.errors import UserError
from rnnkit.insight.jacobian import jacobians, tangents
from rnnkit.insight.record import evaluating, input_steps, valid_lengths
from rnnkit.insight.replay import states_before
from rnnkit.insight.steps import Steps, observed, states_after
from rnnkit.insight.vectors import to_vector

SMALL = 2**21
"""The number of elements of all Jacobians of a scan up to which they are computed at once."""


def lyapunov(
    model: Any, batch: Any, state: Any = None, *, exponents: int = 1, warmup: float = 0.2
) -> dict[str, Tensor]:
    r"""Return the largest Lyapunov exponents [B, k] of each layer, in nats for each step.

    .. math::
        z_t = J_t q_{t-1}, \quad q_t = z_t / \|z_t\|, \qquad
        \lambda_1 = \frac{1}{T - w} \sum_{t > w} \ln \|z_t\|, \qquad J_t = \frac{\partial s_t}{\partial s_{t-1}}

    along the trajectory of the batch; k exponents by a QR decomposition at every step (Benettin et al., 1980; Engelken
    et al., 2023, Phys. Rev. Research 5, 043044). Below 0, the state forgets at this rate: its time constant is
    :math:`-1 / \lambda_1` steps. Above 0, small differences grow: chaos. It takes 200 steps or more to be exact to two
    digits; the spread over the rows shows how exact it is.

    Args:
        model: see `gradient_flow`.
        batch: see `gradient_flow`.
        state: see `gradient_flow`.
        exponents: k.
        warmup: the share of the steps of a row that is left out, w / T, in [0, 1).

    Raises:
        UserError: if `exponents` or `warmup` is out of range; and as `gradient_flow`.

    >>> from rnnkit import RNN
    >>> from rnnkit.cells import GRUCell
    >>> lyapunov(RNN(GRUCell, 3, 5), torch.randn(4, 50, 3), exponents=2)["cells.0"].shape
    torch.Size([4, 2])
    """
    if not 0 <= warmup < 1:
        raise UserError("warmup", "a share of the steps in [0, 1)", str(warmup), fix="warmup=0.2")
    events = observed(model, batch, state)
    return {name: of_scan(event, states_after(event), exponents, warmup) for name, event in events.items()}


def of_scan(event: ScanEvent, states: Any, exponents: int = 1, warmup: float = 0.2) -> Tensor:
    """Return the exponents [B, k] of one scan, given the states after its steps."""
    B, T = input_steps(event)
    before = states_before(event, states)
    like = to_vector(before, axes=2)
    S, k = like.shape[-1], exponents
    if not 1 <= k <= S:
        raise UserError("exponents", f"1 to {S}, the size of the state", str(k), fix="exponents=1")
    lengths_B = valid_lengths(event).to(like.device)
    skipped_B = (warmup * lengths_B).long()
    generator = torch.Generator().manual_seed(0)
    q_BSk = torch.linalg.qr(torch.randn(B, S, k, generator=generator, dtype=torch.double))[0].to(like)
    total_Bk = like.new_zeros(B, k)
    with evaluating(event.cell), torch.no_grad():
        product = _product(event, before, k, S)
        for t in reversed(range(T)) if event.reverse else range(T):
            new_BSk, r_Bkk = torch.linalg.qr(product(t, q_BSk))
            valid_B = t < lengths_B
            # in reverse, a row begins at its last valid step
            age_B = lengths_B - 1 - t if event.reverse else torch.full_like(lengths_B, t)
            growth_Bk = r_Bkk.diagonal(dim1=1, dim2=2).abs().log()
            total_Bk += torch.where((valid_B & (age_B >= skipped_B))[:, None], growth_Bk, 0)
            q_BSk = torch.where(valid_B[:, None, None], new_BSk, q_BSk)
    return total_Bk / (lengths_B - skipped_B)[:, None]


def _product(event: ScanEvent, before: Any, k: int, S: int) -> Callable[[int, Tensor], Tensor]:
    """Return a function of t and q [B, S, k] that returns J_t q. Small Jacobians of all steps are computed at once."""
    B, T = input_steps(event)
    if B * T * S * S <= SMALL:
        row, time = (index.flatten() for index in torch.meshgrid(torch.arange(B), torch.arange(T), indexing="ij"))
        jacobians_BTSS = jacobians(event.cell, _steps(event, before, row, time)).view(B, T, S, S)
        return lambda t, q_BSk: jacobians_BTSS[:, t] @ q_BSk
    row = torch.arange(B).repeat_interleave(k)

    def product(t: int, q_BSk: Tensor) -> Tensor:
        steps = _steps(event, before, row, torch.full_like(row, t))
        return tangents(event.cell, steps, q_BSk.transpose(1, 2).flatten(0, 1)).view(B, k, S).transpose(1, 2)

    return product


def _steps(event: ScanEvent, before: Any, row: Tensor, time: Tensor) -> Steps:
    B, _ = input_steps(event)
    x, now = (map_state(lambda leaf: leaf.detach()[row, time], tree) for tree in (event.x, before))
    return Steps(x, now, _of_rows(event.context, row, B), row, time)


def _of_rows(context: Any, row: Tensor, B: int) -> Any:
    def taken(leaf: Tensor) -> Tensor:
        return leaf.detach()[row] if leaf.dim() and len(leaf) == B else leaf.detach()

    return None if context is None else map_state(taken, context)
