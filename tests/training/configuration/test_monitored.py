"""The monitor: what a task measures, and the direction in which it gets better."""

import csv
import math
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

import every_key
import pytest
from omegaconf import OmegaConf

from rnnkit.cli import run
from rnnkit.errors import UserError
from rnnkit.training import Run
from rnnkit.training.configuration.construct import locate
from rnnkit.training.configuration.monitored import settled_mode
from rnnkit.training.configuration.schema import check_configuration

TASKS = every_key.TASKS
MAXIMIZED = {
    "val/accuracy",
    "val/macro_f1",
    "val/r2",
    "val/r2_all",
    "val/unknown_accuracy",
    "val/precision",
    "val/recall",
    "val/f1",
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    every_key.write_files(tmp_path)
    return tmp_path


def train(task: str, *overrides: str) -> int:
    return run(["train", f"task={task}", *TASKS[task], *every_key.TINY, *overrides, "run_dir=run"])


@pytest.mark.parametrize(
    ("task", "overrides"),
    [
        *((task, ()) for task in TASKS),
        ("forecasting", ("output=point",)),
        ("forecasting", ("task.naive2={smape:10,mase:2}",)),
        ("regression", ("task.phm_score=true",)),
    ],
)
def test_what_a_task_states_is_what_it_measures(task: str, overrides: tuple[str, ...]) -> None:
    """And the other way round: nothing that it measures is forgotten."""
    assert train(task, *overrides) == 0
    with Path("run/metrics.csv").open() as file:
        there = {name for name in next(csv.reader(file)) if name.startswith("val/")}
    stated = {f"val/{name}" for name in Run(Path("run")).task("last").metric_names()}
    assert there <= stated
    assert stated - there <= {"val/mase", "val/unknown_accuracy"}  # those that can be undefined
    config = OmegaConf.load("run/config.yaml")
    assert config.monitor_mode == ("max" if config.monitor in MAXIMIZED else "min")


@pytest.mark.parametrize("task", TASKS)
def test_the_mode_follows_the_metric(task: str) -> None:
    """For the schedule and averaging as well, which refer to it."""
    config = every_key.composed([f"task={task}", "schedule=reduce_on_plateau", "averaging=nonmonotonic"])
    metrics = locate("task", config.task._target_).metrics
    for name in metrics:
        config.monitor, config.monitor_mode = f"val/{name.replace('*', '4')}", None
        mode = settled_mode(config)
        assert mode == ("max" if config.monitor in MAXIMIZED else None if "coverage" in name else "min")
        config.monitor_mode = mode or "max"
        assert {config.schedule.mode, config.averaging.mode} == {config.monitor_mode}
        check_configuration(config)
        if mode is not None:
            config.monitor_mode = "max" if mode == "min" else "min"
            with pytest.raises(UserError, match="monitor_mode: expected"):
                check_configuration(config)


def test_the_best_checkpoint_is_the_one_with_the_lowest_loss() -> None:
    """Of a task whose own monitor is maximized."""
    assert train("classification", "monitor=val/loss", "trainer.max_epochs=6", "optimizer.lr=0.5") == 0
    with Path("run/metrics.csv").open() as file:
        losses = [float(row["val/loss"]) for row in csv.DictReader(file) if row["val/loss"]]
    assert len(losses) == 6
    assert len(set(losses)) > 1
    best = Run(Path("run")).checkpoint("best")
    assert best["epoch"] == losses.index(min(losses))


@pytest.mark.parametrize(
    ("task", "overrides", "said"),
    [
        ("language_modeling", ["monitor=val/los"], "monitor: expected a metric that .* Try: monitor=val/loss"),
        ("language_modeling", ["monitor=loss"], "monitor: .* got 'loss'. Try: monitor=val/loss"),
        ("language_modeling", ["monitor=train/loss"], "monitor: .* got 'train/loss'. Try: monitor=val/loss"),
        ("language_modeling", ["monitor=val/accuracy"], "val/loss, val/perplexity, val/bits_per_"),
        ("language_modeling", ["monitor=val/bits_per_word"], "val/bits_per_char; got 'val/bits_per_word'"),
        ("classification", ["monitor=val/auroc"], "val/macro_f1; got 'val/auroc'"),
        ("classification", ["monitor_mode=min"], "monitor_mode: expected max: val/accuracy is better higher; got min"),
        ("classification", ["monitor=val/loss", "monitor_mode=max"], "Try: monitor_mode=min"),
        (
            "regression",
            ["monitor=val/rmse_all"],
            "with these data and settings, measures: val/loss, val/rmse, val/mae",
        ),
        ("regression", ["monitor=val/phm_score"], "got 'val/phm_score'"),
        ("tagging", ["monitor=val/f1"], "val/unknown_accuracy; got 'val/f1'"),
        ("forecasting", ["monitor=val/nrmse84"], "val/nrmse4.*got 'val/nrmse84'. Try: monitor=val/nrmse4"),
        ("forecasting", ["monitor=val/crps", "output=point"], "got 'val/crps'"),
        ("forecasting", ["monitor=val/coverage80"], "monitor_mode: expected min or max; got null"),
        (
            "classification",
            ["+callbacks.stop={_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/accuracy}"],
            "callbacks.stop.mode: expected max",
        ),
        (
            "classification",
            ["+callbacks.stop={_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/acuracy, mode: max}"],
            "callbacks.stop.monitor: .* Try: callbacks.stop.monitor=val/accuracy",
        ),
        ("classification", ["schedule=reduce_on_plateau", "schedule.mode=min"], "schedule.mode: expected max"),
    ],
)
def test_monitors_that_are_refused(
    task: str, overrides: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    assert train(task, *overrides) == 2
    assert re.search(said, capsys.readouterr().err)
    assert not Path("run").exists()


OWN = """
    from rnnkit.tasks import Classification


    class Mine(Classification):
        def compute_metrics(self, stage):
            found = super().compute_metrics(stage)
            return {**found, "error_rate": 1 - found["accuracy"]}


    class Stated(Mine):
        metrics = {**Classification.metrics, "error_rate": "min"}
"""


def test_tasks_of_the_users_own(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that states its metrics is checked like ours; for one that does not, the mode has to be said."""
    (here / "monitored_lab.py").write_text(textwrap.dedent(OWN))
    monkeypatch.syspath_prepend(str(here))
    try:
        assert train("classification", "task._target_=monitored_lab.Stated", "monitor=val/error_rate") == 0
        assert OmegaConf.load("run/config.yaml").monitor_mode == "min"
        shutil.rmtree("run")
        own = ["task._target_=monitored_lab.Mine", "monitor=val/error_rate"]
        assert train("classification", *own) == 2
        assert "got 'val/error_rate'" in capsys.readouterr().err
        assert train("classification", *own, "monitor_mode=min") == 0
        shutil.rmtree("run")
        assert train("classification", own[0], "monitor=val/eror_rate", "monitor_mode=min") == 2
        said = capsys.readouterr().err
        assert "a metric that the first validation measures: " in said
        assert "Try: monitor=val/error_rate" in said
    finally:
        sys.modules.pop("monitored_lab", None)


@pytest.mark.parametrize(("mode", "values"), [("min", [3.0, 2.0, 1.0, 2.5]), ("max", [0.1, 0.2, 0.3, 0.15])])
def test_nonmonotonic_averaging_knows_the_direction(mode: Any, values: list[float]) -> None:
    from types import SimpleNamespace

    from rnnkit.training import NonmonotonicAverage

    average = NonmonotonicAverage("val/x", patience=1, mode=mode)
    begun = []
    for value in values:
        trainer: Any = SimpleNamespace(sanity_checking=False, callback_metrics={"val/x": value})
        average.on_validation_end(trainer, None)  # type: ignore[arg-type]
        begun.append(average.triggered)
    assert begun == [False, False, False, True]
    assert math.isfinite(average.history[0])
