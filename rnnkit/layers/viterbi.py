"""The best paths through a linear chain (Viterbi 1967)."""

import torch
from torch import Tensor

from rnnkit.masks import flip_valid, last_valid, valid_steps


def viterbi(
    e_BTC: Tensor, transitions_CC: Tensor, start_C: Tensor, end_C: Tensor, lengths_B: Tensor | None = None
) -> Tensor:
    r"""Return the path with the highest score, [B, T] int64, zero at padding.

    .. math::
        \arg\max_{y_1 \dots y_T} \; s_{y_1} + \sum_t e_{t, y_t} + \sum_t A_{y_{t-1}, y_t} + z_{y_T}

    A score of minus infinity forbids a state or transition. Axes: B sequences, T steps, C states.

    >>> e_BTC = torch.tensor([[[0.0, 1.0], [0.2, 0.0]]])
    >>> never_from_1_to_0 = torch.tensor([[0.0, 0.0], [-torch.inf, 0.0]])
    >>> viterbi(e_BTC, never_from_1_to_0, torch.zeros(2), torch.zeros(2))
    tensor([[1, 1]])
    """
    B, T, _ = e_BTC.shape
    if T == 0:
        return torch.zeros(B, 0, dtype=torch.long, device=e_BTC.device)
    e_BTC = _clean(e_BTC, lengths_B)
    into_CC = transitions_CC.T.contiguous()  # [to, from]
    best_BC = start_C + e_BTC[:, 0]
    table = [best_BC]
    for e_BC in e_BTC.unbind(1)[1:]:
        best_BC = (best_BC[:, None] + into_CC).amax(-1) + e_BC
        table.append(best_BC)
    # backward through the reversed sequences, which all end at the same step; only states on the path are read
    best_TBC = flip_valid(torch.stack(table, 1), lengths_B).transpose(0, 1)
    tag_B = (best_TBC[0] + end_C).argmax(-1)
    path = [tag_B]
    for best_BC in best_TBC.unbind()[1:]:
        tag_B = (best_BC + into_CC[tag_B]).argmax(-1)
        path.append(tag_B)
    path_BT = flip_valid(torch.stack(path, 1), lengths_B)
    return path_BT if lengths_B is None else path_BT.masked_fill(~valid_steps(lengths_B, T), 0)


def n_best(
    e_BTC: Tensor, transitions_CC: Tensor, start_C: Tensor, end_C: Tensor, n: int, lengths_B: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the `n` paths with the highest scores, best first: paths [B, n, T], zero at padding, and scores [B, n].

    The search is exact: it keeps the n best paths to every state at every step. If a sequence has fewer than n paths,
    the scores of the others are minus infinity; an empty sequence has one, with score 0.

    >>> paths_BNT, scores_BN = n_best(torch.zeros(1, 2, 2), torch.eye(2), torch.zeros(2), torch.zeros(2), n=2)
    >>> sorted(paths_BNT[0].tolist()), scores_BN
    ([[0, 0], [1, 1]], tensor([[1., 1.]]))
    """
    B, T, C = e_BTC.shape
    e_BTC = _clean(e_BTC, lengths_B)
    of_empty_N = torch.tensor([0.0] + [-torch.inf] * (n - 1), device=e_BTC.device, dtype=e_BTC.dtype)
    if T == 0:
        return torch.zeros(B, n, 0, dtype=torch.long, device=e_BTC.device), of_empty_N.expand(B, n)
    none = e_BTC.new_full((B, n - 1, C), -torch.inf)
    best_BNC = torch.cat([(start_C + e_BTC[:, 0])[:, None], none], 1)
    table, origins = [best_BNC], [torch.zeros(B, n, C, dtype=torch.long, device=e_BTC.device)]
    for e_BC in e_BTC.unbind(1)[1:]:
        ways = (best_BNC[..., None] + transitions_CC).flatten(1, 2)  # [B, n * C, C], indexed by rank * C + from
        best_BNC, origin_BNC = ways.topk(n, dim=1)
        best_BNC = best_BNC + e_BC[:, None]
        table.append(best_BNC)
        origins.append(origin_BNC)
    last_B = e_BTC.new_full((B,), T - 1, dtype=torch.long) if lengths_B is None else (lengths_B - 1).clamp(min=0)
    ends = (last_valid(torch.stack(table, 1), lengths_B) + end_C).flatten(1)
    scores_BN, way_BN = ends.topk(n, dim=1)
    path = []
    for t in range(T - 1, -1, -1):
        # a sequence stays at its end until the backward pass has reached it
        path.append(way_BN % C)
        came_BN = origins[t].flatten(1).gather(1, way_BN)
        way_BN = torch.where((t <= last_B)[:, None], came_BN, way_BN)
    path_BNT = torch.stack(path[::-1], 2)
    if lengths_B is not None:
        path_BNT = path_BNT.masked_fill(~valid_steps(lengths_B, T)[:, None], 0)
        scores_BN = torch.where(lengths_B[:, None] > 0, scores_BN, of_empty_N)
    return path_BNT, scores_BN


def _clean(e_BTC: Tensor, lengths_B: Tensor | None) -> Tensor:
    e_BTC = e_BTC.to(torch.promote_types(e_BTC.dtype, torch.float32))
    if lengths_B is None:
        return e_BTC
    return e_BTC.masked_fill(~valid_steps(lengths_B, e_BTC.shape[1])[..., None], 0)
