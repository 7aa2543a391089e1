"""Areas under the ROC and the precision-recall curve."""

import torch
from torch import Tensor


class Ranking:
    r"""Sequences sorted by score, the highest first; equal scores share a rank.

    With TP and FP the members and others up to rank g, and P and N the number of all members and others:

    .. math::
        \mathrm{AUROC} &= \sum_g \frac{FP_g - FP_{g-1}}{N} \cdot \frac{TP_g + TP_{g-1}}{2 P} \\
        \mathrm{AUPRC} &= \sum_g \frac{TP_g - TP_{g-1}}{P} \cdot \frac{TP_g}{TP_g + FP_g}

    AUROC is the probability that a member has a higher score than another sequence, ties counting half (Hanley and
    McNeil 1982). AUPRC is the average precision, without interpolation (Davis and Goadrich 2006). Both take weights
    [R, N] of the sequences and have shape [R]; they are NaN if there are no members or no others.

    Args:
        scores: [N].
        members: booleans [N].

    >>> ranking = Ranking(torch.tensor([0.9, 0.8, 0.3, 0.1]), torch.tensor([True, False, True, False]))
    >>> auroc, auprc = ranking.areas(torch.ones(1, 4))
    >>> float(auroc), float(auprc)
    (0.75, 0.8333333333333333)
    """

    def __init__(self, scores: Tensor, members: Tensor) -> None:
        ordered, self.order = scores.sort(descending=True)
        self.members = members[self.order].double()
        last = torch.ones_like(members)
        last[:-1] = ordered[1:] != ordered[:-1]
        self.ends = last.nonzero()[:, 0]

    def areas(self, weights_RN: Tensor) -> tuple[Tensor, Tensor]:
        """Returns AUROC and AUPRC [R]."""
        weights_RN = weights_RN[:, self.order].double()
        true_RG = (weights_RN * self.members).cumsum(dim=1)[:, self.ends]
        all_RG = weights_RN.cumsum(dim=1)[:, self.ends]
        more_RG = true_RG.diff(dim=1, prepend=torch.zeros_like(true_RG[:, :1]))
        false_RG = (all_RG - true_RG).diff(dim=1, prepend=torch.zeros_like(all_RG[:, :1]))
        members_R, others_R = true_RG[:, -1], all_RG[:, -1] - true_RG[:, -1]
        auroc_R = (false_RG * (true_RG - more_RG / 2)).sum(dim=1) / (members_R * others_R)
        auprc_R = (more_RG * true_RG / all_RG.clamp(min=1)).sum(dim=1) / members_R
        return auroc_R, torch.where(others_R > 0, auprc_R, torch.nan)
