"""A run that was killed when all its steps were taken, and nothing had been said of it yet, is finished by `resume`."""

import json
from pathlib import Path

import pytest

from rnnkit.cli import run
from rnnkit.training import Run

TIMES = ("seconds", "time_steps_per_second")
ENDS = {
    "epochs": ["trainer.max_epochs=2"],
    "steps": ["trainer.max_epochs=-1", "trainer.max_steps=7"],
    "no better validation": ["trainer.max_epochs=9", "patience=2", "optimizer.lr=0", "clipping=none"],
    "no patience": ["trainer.max_epochs=9", "patience=0", "optimizer.lr=0"],
    "no better validation in an epoch": [
        *("trainer.max_epochs=9", "patience=2", "optimizer.lr=0", "trainer.val_check_interval=2"),
    ],
}


def summary(folder: Path) -> dict[str, object]:
    found = json.loads((folder / "summary.json").read_text())
    return {name: value for name, value in found.items() if name not in TIMES}


@pytest.mark.parametrize("end", ENDS)
def test_resume_finishes_it(end: str, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    assert run(["train", *small, *ENDS[end], f"run_dir={folder}"]) == 0
    whole, metrics = summary(folder), (folder / "metrics.csv").read_text()
    checkpoint = Run(folder).newest()[1]
    (folder / "summary.json").unlink()
    assert run(["resume", str(folder)]) == 0
    assert summary(folder) == whole
    assert (folder / "metrics.csv").read_text() == metrics
    assert Run(folder).newest()[1]["global_step"] == checkpoint["global_step"]
    capsys.readouterr()
    assert run(["resume", str(folder)]) == 2
    assert "all done before" in capsys.readouterr().err


def test_no_patience_is_until_the_first_validation_that_is_no_better(small: list[str], tmp_path: Path) -> None:
    assert run(["train", *small, *ENDS["no patience"], f"run_dir={tmp_path / 'run'}"]) == 0
    assert summary(tmp_path / "run")["epochs"] == 2


def test_more_patience_goes_on(small: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert run(["train", *small, *ENDS["no better validation"], f"run_dir={folder}"]) == 0
    assert summary(folder)["epochs"] == 3
    assert run(["resume", str(folder), "patience=4"]) == 0
    assert summary(folder)["epochs"] == 5
