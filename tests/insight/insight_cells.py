"""Cells and batches that the tests of rnnkit.insight share: one of each kind, and one that rnnkit does not know."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rnnkit.cells import Cell, ElmanCell, GRUCell, LinearCell, LRUCell, LSTMCell, MinGRUCell

H, INPUTS = 4, 3


class OwnState(NamedTuple):
    """A matrix, a complex vector, and a counter, which has no derivative."""

    memory: Tensor
    phase: Tensor
    count: Tensor


class OwnCell(Cell[OwnState]):
    """A cell as a user writes it, with a gate and a state of several kinds."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size, self.hidden_size = input_size, hidden_size, hidden_size
        self.keep = nn.Linear(input_size + hidden_size, hidden_size)
        self.write = nn.Linear(input_size, 2 * hidden_size)
        self.angle = nn.Parameter(torch.randn(hidden_size))

    def initial_state(self, batch_size: int) -> OwnState:
        zeros = self.angle.new_zeros(batch_size, self.hidden_size)
        count = torch.zeros(batch_size, dtype=torch.long, device=zeros.device)
        return OwnState(zeros[..., None].expand(-1, -1, 2) + 0.1, torch.complex(zeros, zeros), count)

    def forward(self, x_BI: Tensor, state: OwnState) -> tuple[Tensor, OwnState]:
        read_BH = state.memory.sum(-1)
        gate_BH = torch.sigmoid(self.keep(torch.cat([x_BI, read_BH], dim=-1)))
        new_BH2 = torch.tanh(self.write(x_BI)).unflatten(-1, (-1, 2))
        memory = gate_BH[..., None] * state.memory + (1 - gate_BH)[..., None] * new_BH2
        turn_H = torch.polar(torch.full_like(self.angle, 0.9), self.angle)
        phase = turn_H * state.phase + torch.complex(new_BH2[..., 0], read_BH)
        return read_BH + phase.real * phase.imag, OwnState(memory, phase, state.count + 1)


class Decay(LinearCell):
    """h' = gamma h + W x, with a known gamma and an orthogonal mixing."""

    def __init__(self, input_size: int, hidden_size: int, gamma: float = 0.9) -> None:
        super().__init__(input_size, hidden_size)
        self.gamma = gamma
        self.input_map = nn.Linear(input_size, hidden_size)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.input_map.weight.new_zeros(batch_size, self.hidden_size)

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        b = self.input_map(x)
        return torch.full_like(b, self.gamma), b


class Linear(Cell[Tensor]):
    """h' = h A^T + x W^T with given matrices."""

    def __init__(self, recurrent_HH: Tensor, input_HI: Tensor) -> None:
        super().__init__()
        self.input_size, self.output_size = input_HI.shape[1], len(recurrent_HH)
        self.recurrent, self.write = nn.Parameter(recurrent_HH), nn.Parameter(input_HI)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.recurrent.new_zeros(batch_size, self.output_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        h_BH = state @ self.recurrent.T + x_BI @ self.write.T
        return h_BH, h_BH


CELLS: dict[str, Callable[[int, int], Cell[Any]]] = {
    "lstm": LSTMCell,
    "gru": GRUCell,
    "elman": ElmanCell,
    "minGRU": MinGRUCell,
    "lru": LRUCell,
    "own": OwnCell,
}
