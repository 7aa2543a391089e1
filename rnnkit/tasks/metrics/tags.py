"""Counts of predicted tags, token by token."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class TagCounts(Metric):
    """The confusion matrix of tags, and the number of correctly tagged tokens with unknown words.

    Tags are ids below `tags`; greater ids in the truth are tags that do not occur in training and are never correct.

    `compute` returns `confusion` [C + 1, C + 1], whose rows are the true tags, the last one those unseen in training;
    `unknown` [2], the number of tokens with unknown words and of those among them that are correct; and `baseline`, the
    number of tokens that are correct if each word has its most frequent tag.

    >>> counts = TagCounts(2)
    >>> truth_N, found_N, words_N = torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), torch.tensor([5, 0, 0])
    >>> counts.update(truth_N, found_N, words_N, usual_N=torch.tensor([1, 1, 1]))
    >>> counts.compute()
    {'confusion': tensor([[1, 0, 0], [1, 1, 0], [0, 0, 0]]), 'unknown': tensor([2, 1]), 'baseline': tensor(2)}
    """

    full_state_update = False
    matrix: Tensor
    unknown: Tensor
    usual: Tensor

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.tags = tags
        self.add_state("matrix", torch.zeros(tags + 1, tags + 1, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("unknown", torch.zeros(2, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("usual", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, truth_N: Tensor, found_N: Tensor, words_N: Tensor, usual_N: Tensor) -> None:
        """Adds tokens: true tags, predicted tags, words (0 is unknown), and the most frequent tag of each word."""
        C = self.tags + 1
        truth_N = truth_N.clamp(max=self.tags)
        self.matrix += torch.bincount(truth_N * C + found_N, minlength=C * C).view(C, C)
        is_unknown_N = words_N == 0
        self.unknown += torch.stack([is_unknown_N.sum(), (is_unknown_N & (truth_N == found_N)).sum()])
        self.usual += (truth_N == usual_N).sum()

    def compute(self) -> dict[str, Any]:
        return {"confusion": self.matrix.clone(), "unknown": self.unknown.clone(), "baseline": self.usual.clone()}
