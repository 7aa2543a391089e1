"""Cells as a user writes them that read a context, an input of several tensors, or both."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rnnkit.cells import Cell

MEMORY, SOURCE_STEPS = 3, 4


class Memory(NamedTuple):
    """What an encoder hands to a decoder: [B, S, D], and how many of the S steps each row has."""

    values: Tensor
    lengths: Tensor


class Decoding(NamedTuple):
    """A hidden state and what was read of the memory."""

    hidden: Tensor
    read: Tensor


class DotAttention(Cell[Decoding]):
    """A GRU that reads a memory by the dot product with its state, and is fed what it read (Luong et al., 2015)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.step = nn.GRUCell(input_size + MEMORY, hidden_size)
        self.query = nn.Linear(hidden_size, MEMORY)

    def initial_state(self, batch_size: int) -> Decoding:
        zeros = self.query.weight.new_zeros
        return Decoding(zeros(batch_size, self.output_size), zeros(batch_size, MEMORY))

    def forward(self, x_BI: Tensor, state: Decoding, context: Memory) -> tuple[Tensor, Decoding]:
        h_BH = self.step(torch.cat([x_BI, state.read], dim=1), state.hidden)
        score_BS = (context.values @ self.query(h_BH)[:, :, None]).squeeze(2)
        absent_BS = torch.arange(context.values.shape[1]) >= context.lengths[:, None]
        weight_BS = torch.softmax(score_BS.masked_fill(absent_BS, -1e4), dim=1)
        read_BD = (weight_BS[:, None] @ context.values).squeeze(1)
        return h_BH, Decoding(h_BH, read_BD)


class AdditiveAttention(DotAttention):
    """The same with the score of Bahdanau et al. (2015)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.key = nn.Linear(MEMORY, hidden_size)
        self.score = nn.Linear(hidden_size, 1, bias=False)
        self.state_map = nn.Linear(hidden_size, hidden_size, bias=False)

    def forward(self, x_BI: Tensor, state: Decoding, context: Memory) -> tuple[Tensor, Decoding]:
        key_BSH = self.key(context.values) + self.state_map(state.hidden)[:, None]
        score_BS = self.score(torch.tanh(key_BSH)).squeeze(2)
        absent_BS = torch.arange(context.values.shape[1]) >= context.lengths[:, None]
        weight_BS = torch.softmax(score_BS.masked_fill(absent_BS, -1e4), dim=1)
        read_BD = (weight_BS[:, :, None] * context.values).sum(1)
        h_BH = self.step(torch.cat([x_BI, read_BD], dim=1), state.hidden)
        return h_BH, Decoding(h_BH, read_BD)


class Timed(NamedTuple):
    """Features [..., I] and the time since the step before [...]."""

    features: Tensor
    gap: Tensor


class Decaying(Cell[Tensor]):
    """A state that decays with the time between two steps."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.rate = nn.Parameter(torch.rand(hidden_size))
        self.map, self.back = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size, bias=False)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.rate.new_zeros(batch_size, self.output_size)

    def forward(self, x: Timed, state: Tensor) -> tuple[Tensor, Tensor]:
        decayed_BH = state * torch.exp(-self.rate * x.gap[:, None].abs())
        h_BH = torch.tanh(self.map(x.features) + self.back(decayed_BH))
        return h_BH, h_BH


class FastWeights(Cell[Tensor]):
    """A matrix [B, H, D] as state, written at a key and read by a context, that fades with time: all there is at once.

    The context is one vector [D] for all rows.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.key, self.value = nn.Linear(input_size, MEMORY), nn.Linear(input_size, hidden_size)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.key.weight.new_zeros(batch_size, self.output_size, MEMORY)

    def forward(self, x: Timed, state: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        kept_B11 = torch.exp(-x.gap.abs())[:, None, None]
        written_BHD = self.value(x.features)[:, :, None] * torch.tanh(self.key(x.features))[:, None]
        s_BHD = kept_B11 * torch.tanh(state) + written_BHD
        return (s_BHD * context).sum(2), s_BHD


def memory(batch_size: int) -> Memory:
    """Always the same, in double precision."""
    values = torch.randn(batch_size, SOURCE_STEPS, MEMORY, generator=torch.Generator().manual_seed(7))
    return Memory(values.double(), torch.arange(batch_size) % SOURCE_STEPS + 1)


def timed(batch_size: int, steps: int, input_size: int = 3) -> Timed:
    """Always the same, in double precision."""
    random = torch.Generator().manual_seed(8)
    features = torch.randn(batch_size, steps, input_size, generator=random).double()
    return Timed(features, torch.rand(batch_size, steps, generator=random).double())


def plain(batch_size: int, steps: int, input_size: int = 3) -> Tensor:
    """The features alone."""
    return timed(batch_size, steps, input_size).features


def vector(batch_size: int) -> Tensor:
    """A context that belongs to no row."""
    return torch.tensor([0.5, -1.0, 2.0]).double()


CELLS = {
    "dot attention": (DotAttention, plain, memory),
    "additive attention": (AdditiveAttention, plain, memory),
    "decaying": (Decaying, timed, None),
    "fast weights": (FastWeights, timed, vector),
}
"""Each cell with its inputs and its context."""
