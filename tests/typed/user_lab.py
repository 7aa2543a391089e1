"""Research code as a user types it, for `mypy --strict` without the settings of this repository (`make check`)."""

from typing import NamedTuple, assert_type

import torch
from torch import Tensor, nn

import rnnkit
from rnnkit.batch import SequenceBatch
from rnnkit.cells import Cell
from rnnkit.tasks import Task


class LeakyState(NamedTuple):
    """A hidden state, and how many steps it has seen."""

    hidden: Tensor
    steps: Tensor


class Leaky(Cell[LeakyState]):
    """A cell of a user's own."""

    def __init__(self, input_size: int, hidden_size: int, leak: float = 0.3) -> None:
        super().__init__()
        self.input_size, self.output_size, self.leak = input_size, hidden_size, leak
        self.input_map = nn.Linear(input_size, hidden_size)
        self.recurrent_map = nn.Linear(hidden_size, hidden_size, bias=False)

    def initial_state(self, batch_size: int) -> LeakyState:
        """Zeros."""
        zeros = self.input_map.weight.new_zeros(batch_size, self.output_size)
        return LeakyState(zeros, zeros[:, :1])

    def forward(self, x: Tensor, state: LeakyState) -> tuple[Tensor, LeakyState]:
        """One step."""
        pre = self.input_map(x) + self.recurrent_map(state.hidden)
        hidden = (1 - self.leak) * state.hidden + self.leak * torch.tanh(pre)
        return hidden, LeakyState(hidden, state.steps + 1)


class Scores(Task):
    """A task of a user's own."""

    kind = "scores"

    def loss(self, outputs: Tensor, batch: SequenceBatch) -> Tensor:
        """The mean squared error."""
        return (outputs - batch.targets).square().mean()

    def update_metrics(self, batch: SequenceBatch, stage: str) -> None:
        """Nothing is kept."""

    def compute_metrics(self, stage: str) -> dict[str, float]:
        """No metrics."""
        return {}


cell = Leaky(3, 5)
y_BTO, state = rnnkit.scan(cell, torch.randn(2, 4, 3), lengths=torch.tensor([4, 1]))
assert_type(y_BTO, Tensor)
assert_type(state, LeakyState)

y_BO, state = cell(torch.randn(2, 3), cell.initial_state(2))
assert_type(y_BO, Tensor)
assert_type(state, LeakyState)

rnn = rnnkit.RNN(Leaky, 3, 5, num_layers=2, bidirectional=True)
y_BTO, states = rnn(torch.randn(2, 4, 3))
assert_type(y_BTO, Tensor)


def wrong_arguments() -> None:
    """Never called: each line is refused by the type checker, which `--warn-unused-ignores` proves."""
    rnnkit.RNN(Leaky, "3", 5)  # type: ignore[arg-type]
    cell(torch.randn(2, 3), torch.zeros(2, 5))  # type: ignore[arg-type]
    rnn(torch.randn(2, 4, 3), length=torch.tensor([4, 1]))  # type: ignore[call-arg]
