"""Decoder steps with attention over a memory, as a user writes them: the memory is their context."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from rnnkit.cells import Cell, LSTMState

MEMORY_STEPS = 30


class Memory(NamedTuple):
    """What an encoder hands over, [B, S, D], and how many of the S rows each sequence has."""

    values: Tensor
    lengths: Tensor


def memory(batch_size: int, size: int) -> Memory:
    """Random values that ask for a gradient, of rows that are full to a half or more."""
    values_BSD = torch.randn(batch_size, MEMORY_STEPS, size, requires_grad=True)
    return Memory(values_BSD, MEMORY_STEPS - torch.arange(batch_size) % (MEMORY_STEPS // 2))


def _weights(score_BS: Tensor, lengths_B: Tensor) -> Tensor:
    absent_BS = torch.arange(score_BS.shape[1], device=score_BS.device) >= lengths_B[:, None]
    return torch.softmax(score_BS.masked_fill(absent_BS, -torch.inf), dim=1)


class AdditiveDecoder(Cell[LSTMState]):
    """An LSTM that is fed what it reads by additive attention (Bahdanau et al., 2015)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.input_map = nn.Linear(input_size, 4 * hidden_size)
        self.recurrent_map = nn.Linear(2 * hidden_size, 4 * hidden_size, bias=False)
        self.key_map, self.query_map = nn.Linear(hidden_size, hidden_size), nn.Linear(hidden_size, hidden_size)
        self.score_map = nn.Linear(hidden_size, 1, bias=False)

    def initial_state(self, batch_size: int) -> LSTMState:
        zeros_BH = self.key_map.weight.new_zeros(batch_size, self.output_size)
        return LSTMState(zeros_BH, zeros_BH)

    def forward(self, x_BI: Tensor, state: LSTMState, context: Memory) -> tuple[Tensor, LSTMState]:
        query_B1H = self.query_map(state.hidden)[:, None]
        score_BS = self.score_map(torch.tanh(self.key_map(context.values) + query_B1H)).squeeze(2)
        read_BH = (_weights(score_BS, context.lengths)[:, None] @ context.values).squeeze(1)
        gates_B4H = self.input_map(x_BI) + self.recurrent_map(torch.cat([state.hidden, read_BH], dim=1))
        i_BH, f_BH, g_BH, o_BH = gates_B4H.chunk(4, dim=1)
        c_BH = torch.sigmoid(f_BH) * state.cell + torch.sigmoid(i_BH) * torch.tanh(g_BH)
        h_BH = torch.sigmoid(o_BH) * torch.tanh(c_BH)
        return h_BH, LSTMState(h_BH, c_BH)


class DotDecoder(Cell[Tensor]):
    """A GRU whose output reads a memory by dot products (Luong et al., 2015), and is its state."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.input_map = nn.Linear(input_size, 3 * hidden_size)
        self.state_map = nn.Linear(hidden_size, 3 * hidden_size)
        self.key_map = nn.Linear(hidden_size, hidden_size, bias=False)
        self.output_map = nn.Linear(2 * hidden_size, hidden_size)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.state_map.weight.new_zeros(batch_size, self.output_size)

    def forward(self, x_BI: Tensor, state: Tensor, context: Memory) -> tuple[Tensor, Tensor]:
        r_BH, z_BH, n_BH = self.input_map(x_BI).chunk(3, dim=1)
        hr_BH, hz_BH, hn_BH = self.state_map(state).chunk(3, dim=1)
        z_BH = torch.sigmoid(z_BH + hz_BH)
        n_BH = torch.tanh(n_BH + torch.sigmoid(r_BH + hr_BH) * hn_BH)
        h_BH = n_BH + z_BH * (state - n_BH)
        score_BS = (self.key_map(context.values) @ h_BH[:, :, None]).squeeze(2)
        read_BH = (_weights(score_BS, context.lengths)[:, :, None] * context.values).sum(1)
        y_BH = torch.tanh(self.output_map(torch.cat([h_BH, read_BH], dim=1)))
        return y_BH, y_BH
