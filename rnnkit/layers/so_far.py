"""Poolings over all steps so far, as cells: one vector after every step."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rnnkit.cells.base import Cell


class MeanState(NamedTuple):
    """`mean` [B, H] of the steps so far, and their number `steps` [B, 1]."""

    mean: Tensor
    steps: Tensor


class MeanSoFar(Cell[MeanState]):
    r"""The mean of all steps so far, updated without a growing sum. `like` has the device and dtype of the model.

    .. math:: m_t = m_{t-1} + (y_t - m_{t-1}) / t

    >>> cell = MeanSoFar(1, torch.zeros(1))
    >>> state = cell.initial_state(1)
    >>> for y in (1.0, 3.0):
    ...     mean_BH, state = cell(torch.tensor([[y]]), state)
    >>> mean_BH.item()
    2.0
    """

    like: Tensor

    def __init__(self, input_size: int, like: Tensor) -> None:
        super().__init__()
        self.input_size = self.output_size = input_size
        self.register_buffer("like", like.detach().new_zeros(()), persistent=False)

    def initial_state(self, batch_size: int) -> MeanState:
        """Return a mean of no steps."""
        return MeanState(self.like.new_zeros(batch_size, self.input_size), self.like.new_zeros(batch_size, 1))

    def forward(self, y_BH: Tensor, state: MeanState) -> tuple[Tensor, MeanState]:
        """Return the mean [B, H]."""
        steps_B1 = state.steps + 1
        mean_BH = state.mean + (y_BH - state.mean) / steps_B1
        return mean_BH, MeanState(mean_BH, steps_B1)


class MaxSoFar(Cell[Tensor]):
    r"""The largest value of each feature so far.

    .. math:: m_t = \max(m_{t-1}, y_t)

    >>> cell = MaxSoFar(1, torch.zeros(1))
    >>> cell(torch.tensor([[-3.0]]), cell.initial_state(1))[0].item()
    -3.0
    """

    like: Tensor

    def __init__(self, input_size: int, like: Tensor) -> None:
        super().__init__()
        self.input_size = self.output_size = input_size
        self.register_buffer("like", like.detach().new_zeros(()), persistent=False)

    def initial_state(self, batch_size: int) -> Tensor:
        """Return minus infinity, [B, H]."""
        return self.like.new_full((batch_size, self.input_size), -torch.inf)

    def forward(self, y_BH: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the largest values [B, H]."""
        largest_BH = torch.maximum(state, y_BH)
        return largest_BH, largest_BH


class AttentionState(NamedTuple):
    """`largest` score [B, K], and in units of its exponential the `total` weight [B, K] and the sums [B, K, H]."""

    largest: Tensor
    total: Tensor
    weighted: Tensor


class AttentionSoFar(Cell[AttentionState]):
    r"""Attention pooling over all steps so far, by a softmax that is updated step by step.

    .. math::
        m_t = \max(m_{t-1}, e_t), \qquad
        n_t = e^{m_{t-1} - m_t} n_{t-1} + e^{e_t - m_t}, \qquad
        s_t = e^{m_{t-1} - m_t} s_{t-1} + e^{e_t - m_t} y_t, \qquad p_t = s_t / n_t

    Args:
        hidden, scores: the two linear maps of `rnnkit.layers.AttentionPooling`.
    """

    def __init__(self, hidden: nn.Linear, scores: nn.Linear) -> None:
        super().__init__()
        self.hidden, self.scores = hidden, scores
        self.input_size = hidden.in_features
        self.output_size = scores.out_features * hidden.in_features

    def initial_state(self, batch_size: int) -> AttentionState:
        """Return the state before the first step, without any weight."""
        weight, K = self.hidden.weight, self.scores.out_features
        lowest = torch.finfo(weight.dtype).min
        return AttentionState(
            weight.new_full((batch_size, K), lowest),
            weight.new_zeros(batch_size, K),
            weight.new_zeros(batch_size, K, self.input_size),
        )

    def forward(self, y_BH: Tensor, state: AttentionState) -> tuple[Tensor, AttentionState]:
        """Return the weighted mean for each head, [B, K * H]."""
        e_BK = self.scores(torch.tanh(self.hidden(y_BH)))
        largest_BK = torch.maximum(state.largest, e_BK)
        kept_BK, weight_BK = torch.exp(state.largest - largest_BK), torch.exp(e_BK - largest_BK)
        total_BK = kept_BK * state.total + weight_BK
        weighted_BKH = kept_BK[..., None] * state.weighted + weight_BK[..., None] * y_BH[:, None]
        return (weighted_BKH / total_BK[..., None]).flatten(1), AttentionState(largest_BK, total_BK, weighted_BKH)
