"""A run whose time is used up ends as one whose steps are taken, and its schedule ends with it."""

import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rnnkit.cli import run
from rnnkit.errors import UserError
from rnnkit.training import Run, constant_then_decay, cosine, one_cycle
from rnnkit.training.resume import time_budget
from rnnkit.training.resume.time_budget import TimeBudget

STEPS = 40
"""Of a whole run of two epochs."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock by which each batch takes a second, and a validation `validation` seconds; nothing else takes time."""
    found = SimpleNamespace(now=100.0, validation=0)
    end_of_batch, end_of_validation = TimeBudget.on_train_batch_end, TimeBudget.on_validation_end

    def batch(*arguments: Any) -> None:
        found.now += 1
        end_of_batch(*arguments)

    def validation(*arguments: Any) -> None:
        found.now += found.validation
        end_of_validation(*arguments)

    monkeypatch.setattr(time_budget, "time", SimpleNamespace(monotonic=lambda: found.now))
    monkeypatch.setattr(TimeBudget, "on_train_batch_end", batch)
    monkeypatch.setattr(TimeBudget, "on_validation_end", validation)
    return found


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return dict(Run.open(folder).checkpoint(name)["state_dict"])


def rows(folder: Path, column: str) -> dict[int, float]:
    """A column of metrics.csv by the step."""
    with (folder / "metrics.csv").open() as file:
        return {int(row["step"]): float(row[column]) for row in csv.DictReader(file) if row.get(column)}


CASES: dict[str, tuple[list[str], int, int]] = {
    "in mid-epoch": ([], 0, 13),
    "at the end of an epoch": ([], 0, 20),
    "at a validation in mid-epoch": (["trainer.val_check_interval=13"], 0, 13),
    "during a validation": (["trainer.val_check_interval=7"], 9, 7),
    "in an epoch without validation": (["trainer.check_val_every_n_epoch=2"], 0, 13),
    "while accumulating": (["trainer.accumulate_grad_batches=2"], 0, 14),
    "without any validation": (["trainer.limit_val_batches=0"], 0, 13),
}
"""Overrides, the seconds of a validation, and the batch after which the time is used up."""
QUICK = ("in mid-epoch", "in an epoch without validation")


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in CASES]
)
def test_a_run_ends_with_its_time_as_with_its_steps_and_goes_on_with_more(
    name: str, small: list[str], clock: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, clock.validation, batches = CASES[name]
    overrides = [*small, "schedule=constant", *settings]
    whole, timed = tmp_path / "whole", tmp_path / "timed"
    seconds = 20 if "end of an epoch" in name else 13
    assert run(["train", *overrides, f"run_dir={whole}"]) == 0
    capsys.readouterr()
    assert run(["train", *overrides, f"trainer.max_time={{seconds:{seconds}}}", f"run_dir={timed}"]) == 0
    printed = capsys.readouterr()
    said = printed.err + printed.out
    assert "Reached trainer.max_time at step" in said
    a_step = 2 if "accumulating" in name else 1
    summary = json.loads((timed / "summary.json").read_text())
    assert summary["steps"] == batches // a_step
    assert f"at step {batches // a_step}" in said
    assert f"rnnkit evaluate {timed}" in said
    if name != "without any validation":
        assert "best val/loss" in said
        assert summary["best_val/loss"] is not None
        assert batches // a_step in rows(timed, "val/loss")
        assert weights(timed, "best").keys() == weights(timed).keys()

    assert run(["resume", str(timed)]) == 2  # the time of all starts counts
    fix = re.search(r"Try: (trainer.max_time=\S+)", capsys.readouterr().err)
    assert fix is not None
    assert run(["resume", str(timed), fix[1]]) == 0
    done = json.loads((timed / "summary.json").read_text())["steps"] == STEPS // a_step
    assert done or run(["resume", str(timed), "trainer.max_time=00:01:00:00"]) == 0
    assert json.loads((timed / "summary.json").read_text())["steps"] == STEPS // a_step
    assert all(torch.equal(weight, weights(timed)[key]) for key, weight in weights(whole).items())
    assert rows(whole, "train/loss").items() <= rows(timed, "train/loss").items()


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "constant_then_decay"])
def test_the_schedule_ends_with_the_time(schedule: str, small: list[str], tmp_path: Path) -> None:
    settings = [f"schedule={schedule}", "trainer.log_every_n_steps=1", "trainer.max_epochs=1000"]
    settings += ["schedule.constant_share=0.5", "schedule.num_decays=4"] if schedule == "constant_then_decay" else []
    settings += ["schedule.warmup_steps=0"] if schedule == "cosine" else []
    limit = "trainer.max_time={seconds:40}"
    assert run(["train", *small, *settings, limit, f"run_dir={tmp_path / 'timed'}"]) == 0
    rates = rows(tmp_path / "timed", "train/learning_rate")
    assert len(rates) == STEPS
    make = {"cosine": cosine, "one_cycle": one_cycle, "constant_then_decay": constant_then_decay}[schedule]
    options: dict[str, Any] = {"constant_share": 0.5, "num_decays": 4} if schedule == "constant_then_decay" else {}
    options = {"final_share": 0.02} if schedule == "cosine" else options
    by_steps = schedule_of(make, options)
    for step, rate in rates.items():  # the time that is used is known one step later
        near = by_steps[max(0, step - 3) : step + 2]
        assert min(near) - 1e-3 <= rate / 3e-3 <= max(near) + 1e-3, step
    assert rates[STEPS] < 0.15 * 3e-3


def schedule_of(make: Any, options: dict[str, Any]) -> list[float]:
    """The factors of a run of 40 steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer, STEPS, **options)["scheduler"]
    found = []
    for _ in range(STEPS + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("make", [cosine, one_cycle])
def test_the_steps_lead_where_they_are_ahead_of_the_time(make: Any) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer, STEPS)["scheduler"]
    for step in range(1, STEPS):
        scheduler.time_used = step / STEPS / 2
        optimizer.step()
        scheduler.step()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(schedule_of(make, {})[step])
    restored = make(optimizer, STEPS)["scheduler"]
    restored.load_state_dict(scheduler.state_dict())
    assert restored.time_used == scheduler.time_used > 0


def test_a_short_time_by_a_real_clock(small: list[str], tmp_path: Path) -> None:
    limit = ["trainer.max_epochs=100000", "trainer.max_time={milliseconds:700}", "trainer.log_every_n_steps=1"]
    limit += ["schedule.warmup_steps=0", "trainer.val_check_interval=1.0"]
    assert run(["train", *small, *limit, f"run_dir={tmp_path / 'run'}"]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    rates = list(rows(tmp_path / "run", "train/learning_rate").values())
    assert summary["best_val/loss"] is not None
    assert rates == sorted(rates, reverse=True)
    assert len(rates) < 5 or rates[-1] < 0.2 * rates[0]


def test_a_time_that_was_over_before_the_first_step_gives_one(small: list[str], tmp_path: Path) -> None:
    assert run(["train", *small, "trainer.max_time={microseconds:1}", f"run_dir={tmp_path / 'run'}"]) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == 1


@pytest.mark.parametrize("limit", ["1 hour", "00:01:00", 60, {"fortnights": 1}, "00:00:00:00", {"seconds": -1}])
def test_times_that_are_none(limit: Any) -> None:
    with pytest.raises(
        UserError, match=r"trainer\.max_time: expected a time above 0 as DD:HH:MM:SS; got .*00:08:00:00"
    ):
        TimeBudget(limit)


@pytest.mark.parametrize(
    ("limit", "twice"),
    [("00:00:10:00", "00:00:20:00"), ("01:18:00:30", "03:12:01:00"), ({"milliseconds": 1}, "00:00:00:01")],
)
def test_twice_the_time(limit: Any, twice: str) -> None:
    assert TimeBudget(limit).twice == twice
    assert TimeBudget(twice).seconds >= 2 * TimeBudget(limit).seconds
