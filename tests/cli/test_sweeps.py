"""Several runs by one command: where they land, how they are compared, and what a sweeper is told."""

import json
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

from rnnkit.cli import run
from rnnkit.training import Run

SHORT = ["trainer.max_epochs=1", "trainer.limit_train_batches=6", "trainer.limit_val_batches=2"]

SWEEPER = """
import json
import math
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class Descent(BasicSweeper):
    "Takes the best of two learning rates on to two others around it, and writes down what it was told."

    def sweep(self, arguments):
        fixed = list(arguments)
        told = {}
        for rates in (["1e-5", "3e-2"], None):
            rates = rates or [str(2 * float(self.best(told))), str(0.5 * float(self.best(told))), "-1"]
            batch = [[*fixed, f"optimizer.lr={rate}"] for rate in rates]
            returned = self.launcher.launch(batch, initial_job_idx=len(told))
            told.update({rate: job.return_value for rate, job in zip(rates, returned)})
        Path("told.json").write_text(json.dumps(told))

    @staticmethod
    def best(told):
        return min(told, key=told.get)
"""


@pytest.fixture(autouse=True)
def new_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and no settings of an earlier run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)


def test_runs_land_in_one_folder_by_number_and_are_compared(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "--multirun", "model/cell=elman,gru", "seed=1,2", *small, *SHORT]) == 0
    said = capsys.readouterr().out
    (sweep,) = (tmp_path / "runs" / "sweeps").iterdir()
    shown = sweep.relative_to(tmp_path)
    assert sorted(path.name for path in sweep.iterdir()) == ["0", "1", "2", "3", "multirun.yaml"]
    for number, (cell, seed) in enumerate([("ElmanCell", 1), ("ElmanCell", 2), ("GRUCell", 1), ("GRUCell", 2)]):
        config = Run.open(shown / str(number)).config()
        assert (config.model.cell._target_, config.seed) == (f"rnnkit.cells.{cell}", seed)
        assert f"The run is in {shown / str(number)}. Next:" in said
    table = said[said.index("All runs, best first") :]
    rows = re.findall(r"val/loss ([\d.]+)  model/cell=(\w+) seed=(\d)  (\S+)", table)
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert {row[1:] for row in rows} == {
        (cell, seed, str(shown / number))
        for number, cell, seed in (("0", "elman", "1"), ("1", "elman", "2"), ("2", "gru", "1"), ("3", "gru", "2"))
    }
    for command in re.findall(r"^  rnnkit ((?:evaluate|generate) .*)", said, flags=re.MULTILINE)[:2]:
        assert run([word.replace("400", "4") for word in command.split()]) == 0


def test_one_run_still_lands_under_its_task(small: list[str], tmp_path: Path) -> None:
    assert run(["train", *small, *SHORT]) == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["language_modeling"]


def test_tasks_of_one_sweep_are_compared_each_by_its_own_monitor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["model.hidden_size=8", "trainer.max_steps=2", "trainer.limit_val_batches=1"]
    assert run(["train", "--multirun", "task=regression,forecasting", *small]) == 0
    table = capsys.readouterr().out.split("All runs, best first:\n")[1]
    assert re.fullmatch(r"  val/\w+ [\d.]+  task=regression  \S+\n  val/\w+ [\d.]+  task=forecasting  \S+\n", table)
    assert len([*tmp_path.glob("runs/sweeps/*/[01]/summary.json")]) == 2


def test_runs_without_a_validation_are_listed_last(small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    short = SHORT[:2]
    assert run(["train", "--multirun", "trainer.limit_val_batches=0,1", *small, *short]) == 0
    table = capsys.readouterr().out.split("All runs, best first:\n")[1]
    assert re.fullmatch(r"  val/loss [\d.]+  \S*=1  \S+/1\n  val/loss -  \S*=0  \S+/0\n", table)


def test_a_sweeper_is_told_the_best_value_of_each_run(small: list[str], tmp_path: Path) -> None:
    (tmp_path / "plugins" / "hydra_plugins").mkdir(parents=True)
    (tmp_path / "plugins" / "hydra_plugins" / "descent.py").write_text(SWEEPER)
    paths = os.pathsep.join([str(tmp_path / "plugins"), *sys.path])
    plugin = ["--multirun", "hydra.sweeper._target_=hydra_plugins.descent.Descent"]
    command = [sys.executable, "-m", "rnnkit", "train", *plugin, *small, *SHORT, "run_dir=sweep"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 2, done.stderr  # a learning rate below 0 fails, and the others go on
    told = json.loads((tmp_path / "told.json").read_text())
    assert len(told) == 5
    assert math.isnan(told.pop("-1"))
    for number, value in zip(("0", "1", "2", "3"), told.values(), strict=True):
        summary = json.loads((tmp_path / "sweep" / number / "summary.json").read_text())
        assert value == summary["best_val/loss"]
    assert {float(rate) for rate in told} == {1e-5, 3e-2, 6e-2, 1.5e-2}  # the larger is better in so few steps


def test_the_next_commands_can_be_pasted_whatever_the_folder_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    from rnnkit.cli.train import _report

    _report(Path("my runs", "it's 1"), {"seconds": 1, "time_steps_per_second": 1, "steps": 1})
    commands = [shlex.split(line) for line in capsys.readouterr().out.splitlines() if line.startswith("  rnnkit")]
    assert [command[2:3] for command in commands] == [["my runs/it's 1"]] * 3
