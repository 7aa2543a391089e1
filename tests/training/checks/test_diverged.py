"""A model that diverges is left to the run to go back or stop: nothing else that looks at it may fail."""

import shutil
from pathlib import Path

import every_key
import pytest

DIVERGE = ["optimizer=sgd", "optimizer.lr=1e30", "clipping=none", "trainer.max_epochs=6"]
UNBOUNDED = ["model/cell=elman", "model.cell.nonlinearity=relu"]
COUNTS = ["data=series", "data.path=counts.csv", "data.target=[y]", "data.context=16", "data.horizon=4"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    every_key.write_files(tmp_path)
    (tmp_path / "counts.csv").write_text("t,y\n" + "\n".join(f"{n},{n % 5}" for n in range(300)) + "\n")
    return tmp_path


@pytest.mark.filterwarnings("ignore:Encountered `nan` values")  # torchmetrics says the same
@pytest.mark.parametrize(
    ("task", "more"),
    [
        *((task, []) for task in every_key.TASKS),
        ("language_modeling", ["patience=1"]),
        ("tagging", ["model.crf=true"]),
        ("forecasting", ["model=autoregressive_forecaster", "output=student_t"]),
        ("forecasting", ["model=autoregressive_forecaster", "output=negative_binomial"]),
    ],
)
def test_it_goes_back_or_stops(task: str, more: list[str]) -> None:
    small = every_key.TASKS[task]
    if "output=negative_binomial" in more:
        small = [*COUNTS, "data.batch_size=8", "model.hidden_size=4", "task.samples=2"]
    came = every_key.outcome([f"task={task}", *small, *every_key.TINY, *DIVERGE, *UNBOUNDED, *more])
    assert came.code in (0, 2), came.said
    assert "non-finite gradient; step skipped. First non-finite value:" in came.said
    if came.code == 2:
        assert "training: expected finite numbers" in came.said
    else:
        assert "restored the weights of step" in came.said or "patience=1" in more
    shutil.rmtree("runs")


@pytest.mark.parametrize("rate", ["1e30", "1e9"])
@pytest.mark.parametrize("task", ["language_modeling", "regression"])
def test_numbers_that_are_finite_and_make_no_sense_are_told(task: str, rate: str) -> None:
    diverge = ["optimizer=sgd", f"optimizer.lr={rate}", "trainer.max_epochs=3"]
    came = every_key.outcome([f"task={task}", *every_key.TASKS[task], *every_key.TINY, *diverge])
    assert came.code == 2
    assert "training: expected finite numbers, near the first loss" in came.said
    assert "the training has diverged" in came.said
    fix = came.said.partition("Try: ")[2].split()[0]
    again = every_key.outcome([f"task={task}", *every_key.TASKS[task], *every_key.TINY, *diverge, fix, "run_dir=again"])
    assert again.code == 0, again.said


def test_a_monitor_that_is_never_a_number_is_told(here: Path) -> None:
    code = """
import torch
from rnnkit.tasks import LanguageModeling

class Odd(LanguageModeling):
    metrics = {**LanguageModeling.metrics, "odd": "max"}

    def on_validation_epoch_end(self):
        super().on_validation_epoch_end()
        self.log("val/odd", torch.tensor(float("nan")))
"""
    (here / "odd_task.py").write_text(code)
    overrides = ["task._target_=odd_task.Odd", "monitor=val/odd", *every_key.LANGUAGE, *every_key.TINY]
    came = every_key.outcome(overrides)
    assert came.code == 0, came.said
    assert "val/odd was never finite, so best.ckpt was not selected by it." in came.said
