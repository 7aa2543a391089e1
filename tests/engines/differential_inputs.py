"""Cells of the differential test that read more than one tensor and a state, and what they are given to read."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rnnkit.cells import Cell


class Source(NamedTuple):
    """What an `Attending` cell may read: rows [B, S, H], how many of them each lane has, and a vector [H] for all."""

    rows: Tensor
    lengths: Tensor
    shift: Tensor


class Attending(Cell[Tensor]):
    """A memory [B, 3, H] that reads itself and, where there is one, a context of rows."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.map, self.key = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size)
        self.score = nn.Linear(hidden_size, 1)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.map.weight.new_zeros(batch_size, 3, self.output_size)

    def forward(self, x_BI: Tensor, state: Tensor, context: Source | None = None) -> tuple[Tensor, Tensor]:
        q_BH = self.map(x_BI)
        p_B3 = torch.softmax((state @ q_BH[:, :, None]).squeeze(2), 1)
        read_BH = torch.bmm(p_B3[:, None], state).squeeze(1) + q_BH
        if context is not None:
            score_BS = self.score(torch.tanh(self.key(context.rows) + read_BH[:, None] * context.shift)).squeeze(2)
            absent_BS = torch.arange(context.rows.shape[1]) >= context.lengths[:, None]
            p_BS = torch.softmax(score_BS.masked_fill(absent_BS, -1e4), 1)
            read_BH = read_BH + (p_BS[:, :, None] * context.rows).sum(1)
        return read_BH, torch.tanh(0.8 * state + p_B3[:, :, None] * self.key(read_BH)[:, None])


class Clock(NamedTuple):
    """The time since the step before [...] and the kind of a step [...], a whole number."""

    elapsed: Tensor
    kind: Tensor


class Reading(NamedTuple):
    """An input of several tensors, one within another: features [..., I] and when they were read."""

    features: Tensor
    clock: Clock


class Timed(Cell[Tensor]):
    """A state that decays with time, an input that is read by its kind, and a context [B, H] where there is one."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.rate = nn.Parameter(torch.rand(hidden_size))
        self.a, self.b = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size, bias=False)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.rate.new_zeros(batch_size, self.output_size)

    def forward(self, x: Reading, state: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        decayed_BH = state * torch.exp(-self.rate * x.clock.elapsed[:, None].abs())
        read_BH = self.a(x.features)
        read_BH = torch.where(x.clock.kind[:, None] > 0, read_BH, read_BH.square() - 0.5)
        if context is not None:
            read_BH = read_BH + context * decayed_BH
        h_BH = torch.tanh(read_BH + self.b(decayed_BH))
        return h_BH + x.clock.elapsed[:, None], h_BH


READERS = ("attending", "timed")
"""Names of the cells that take a context."""


def reading_of(features: Tensor, elapsed: Tensor, kind: Tensor) -> Reading:
    """The input of a `Timed` cell."""
    return Reading(features, Clock(elapsed, kind))


def context_of(cell: str, size: int, lanes: int, made: Callable[..., Tensor]) -> tuple[Any, dict[str, Tensor]]:
    """A context for a cell, and its tensors that may ask for a gradient; `made` draws one of a shape."""
    if cell == "timed":
        shift_BH = made(lanes, size)
        return shift_BH, {"context": shift_BH}
    # Four rows, or as many as there may be lanes or features.
    rows_BSH, shift_H = made(lanes, 4, size), made(size)
    source = Source(rows_BSH, torch.arange(lanes) % 4 + 1, shift_H)
    return source, {"context": rows_BSH, "shift": shift_H}
