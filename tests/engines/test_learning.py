"""Cells learn what needs memory, and a cell that is wrong in one place does not.

The tasks and the training are those of `scripts/learning_checks.py`, which puts every cell through them at full length.
"""

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from rnnkit.cells import GRUCell, LayerNormLSTMCell, LSTMCell, map_state
from rnnkit.engines import ENGINES

checks = import_module("learning_checks")
tasks = import_module("learning.tasks")


class Forgetful(LSTMCell):
    """Begins afresh at every step."""

    def forward(self, x_BI: Tensor, state: Any) -> tuple[Tensor, Any]:
        return super().forward(x_BI, map_state(torch.zeros_like, state))


class Detached(GRUCell):
    """Remembers, but no gradient reaches the past."""

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x_BI, state.detach())


def passes(cell: Callable[[int, int], Any], task: Any, steps: int) -> bool:
    model = checks.Reader(cell, task, hidden=32)
    return bool(task.passed(checks.train(model, task, steps, learning_rate=1e-2)))


@pytest.mark.parametrize(
    ("cell", "learns"), [(LSTMCell, True), (LayerNormLSTMCell, True), (Forgetful, False)], ids=lambda value: str(value)
)
def test_parity_needs_the_state(cell: Any, learns: bool) -> None:
    assert passes(cell, tasks.Parity(8), steps=300) is learns


@pytest.mark.parametrize(("cell", "learns"), [(GRUCell, True), (Detached, False)])
def test_adding_needs_the_gradient_through_time(cell: Any, learns: bool) -> None:
    assert passes(cell, tasks.Adding(30), steps=400) is learns


@pytest.mark.slow
@pytest.mark.parametrize("task", ["adding", "copy", "parity"])
def test_a_gru_learns_each_task_at_full_length(task: str) -> None:
    assert checks.check("gru", task, steps=None)["passed"]


def test_a_model_of_known_rule_solves_parity_and_only_that() -> None:
    """The flip of a state by every one, written by hand: 1 at four times the length, half without memory."""
    task = tasks.Parity(8)

    class Counter(torch.nn.Module):
        def __init__(self, remembers: bool) -> None:
            super().__init__()
            self.remembers = remembers

        def forward(self, x_BTI: Tensor) -> Tensor:
            odd_BTI = x_BTI.cumsum(1) % 2 if self.remembers else x_BTI
            return 2 * odd_BTI - 1

    assert task.solved(task.figures(Counter(True)))
    assert not task.passed(task.figures(Counter(False)))
    assert task.figures(Counter(False))["right at 4 T"] == pytest.approx(0.5, abs=0.03)


def test_parity_is_the_count_of_ones() -> None:
    x_BTI, odd_BT = tasks.Parity(9).batch(4, Generator().manual_seed(0))
    for bits, odd in zip(x_BTI[..., 0].int().tolist(), odd_BT.tolist(), strict=True):
        assert odd == [sum(bits[: t + 1]) % 2 for t in range(9)]


def test_adding_marks_one_number_in_each_half_and_wants_their_sum() -> None:
    task = tasks.Adding(7)
    x_BTI, sum_B = task.batch(2000, Generator().manual_seed(0))
    for sequence, wanted in zip(x_BTI[:50].tolist(), sum_B[:50].tolist(), strict=True):
        marked = [t for t, (_, mark) in enumerate(sequence) if mark == 1]
        assert len(marked) == 2
        assert marked[0] < 3 <= marked[1]
        assert wanted == pytest.approx(sum(sequence[t][0] for t in marked))
    assert task.loss(torch.ones(2000, 7, 1), sum_B).item() == pytest.approx(task.baseline, rel=0.1)


def test_copying_without_memory_costs_what_the_baseline_says() -> None:
    task = tasks.CopyMemory(5)
    x_BTI, target_BT = task.batch(40, Generator().manual_seed(0))
    ids_BT = x_BTI.argmax(2)
    assert ids_BT.shape == (40, 25)
    assert torch.equal(ids_BT[:, :10], target_BT[:, 15:])
    assert ids_BT[0, 10:].tolist() == [8, 8, 8, 8, 9, *[8] * 10]
    assert (target_BT[:, :15] == 8).all()
    # blank with certainty until the delimiter, then each symbol alike
    logits_BTO = torch.full((40, 25, 9), -1e4)
    logits_BTO[:, :15, 8] = 0
    logits_BTO[:, 15:, :8] = 0
    assert task.loss(logits_BTO, target_BT).item() == pytest.approx(task.baseline, rel=1e-5)
    assert tasks.CopyMemory(100).baseline == pytest.approx(10 * math.log(8) / 120)


def test_the_table_has_a_row_for_each_cell_and_bold_print_for_what_passed() -> None:
    found = checks.check("lstm", "parity", steps=1)
    assert not found["passed"]
    assert found["figures"]["steps"] == 1
    assert found["engine"] in ENGINES
    text = checks.table({("lstm", "parity"): found, ("gru", "parity"): {**found, "passed": True}})
    head, _, first, second = text.splitlines()
    assert "at T = 128" in head
    right = f"{found['figures']['right']:.4f}"
    assert first.startswith(f"| `lstm` | {found['engine']} | {right}, ")
    assert second.startswith(f"| `gru` | {found['engine']} | **{right}, ")


@pytest.mark.parametrize("name", sorted(path.stem for path in checks.CELLS.glob("*.yaml")))
def test_every_cell_of_a_yaml_can_be_put_through_the_checks(name: str) -> None:
    task = tasks.Parity(3)
    assert checks.train(checks.model_for(name, task, hidden=4), task, 1)["right"] >= 0


def test_forget_gates_begin_with_lags_up_to_the_longest() -> None:
    cell = checks.model_for("lstm", tasks.Adding(200)).rnn.cell_at(0)
    lags_H = 1 + cell.bias_ih[64:128].exp()
    assert 2 <= lags_H.min() < 30
    assert 170 < lags_H.max() <= 200
    assert torch.equal(cell.bias_ih[:64], -cell.bias_ih[64:128])
