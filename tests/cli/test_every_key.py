"""No value of any key ends in anything but a run or one message, and a refusal leaves nothing behind."""

import random
import shutil
from pathlib import Path

import every_key
import pytest

SAMPLE = 8
WORST = [
    ["task=language_modeling", "trainer.accumulate_grad_batches=-1"],
    ["task=language_modeling", "task.activation_penalty=nan"],
    ["task=language_modeling", "patience=-1"],
    ["task=language_modeling", "seed=-1"],
    ["task=language_modeling", "model=-1"],
    ["task=language_modeling", "callbacks=x"],
    ["task=language_modeling", "trainer.max_time={}"],
    ["task=language_modeling", "optimizer.betas=[]"],
    ["task=classification", "model.pooling=null"],
    ["task=forecasting", "model.output=-1"],
    ["task=forecasting", "data.seed=null"],
    ["task=tagging", "monitor=val/rmse"],
    ["task=regression", "monitor_mode=max"],
]
"""One of each kind that once ended in a fault, in nonsense or in a folder."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    every_key.write_files(tmp_path)
    return tmp_path


def table(commands: list[list[str]]) -> str:
    """The violations, a line each."""
    before, found = {path.name for path in Path().iterdir()}, []
    for command in commands:
        came = every_key.outcome(command)
        wrong = every_key.violation(command, came, every_key.numeric_keys(command[:-1]))
        for name in ("runs", "x"):
            shutil.rmtree(name, ignore_errors=True)
        left = {path.name for path in Path().iterdir()} - before
        if wrong or left:
            found.append(f"{wrong or f'left {left}'}: {command[0]} {command[-1]}: {came.said[:200]}")
        before |= left
    return "\n".join(found)


@pytest.mark.slow
def test_the_commands_run_without_the_value() -> None:
    """Otherwise nothing is tried."""
    for task, small in every_key.TASKS.items():
        came = every_key.outcome([f"task={task}", *small, *every_key.TINY])
        assert (came.code, came.folder) == (0, True), came.said
        shutil.rmtree("runs")


def test_what_once_went_wrong() -> None:
    commands = [[task, *every_key.TASKS[task[5:]], *every_key.TINY, override] for task, override in WORST]
    assert table(commands) == ""
    assert all(every_key.outcome(command).code == 2 for command in commands)


def test_a_sample_of_all_values() -> None:
    """Values that end in a message: those that train take a second each, and are for the slow test."""
    every = every_key.commands()
    assert len(every) > 3 * 1452
    quick = [command for command in every if command[-1].endswith(("=nan", "=inf", "=x", "=1.5", "=[]", "=-1"))]
    assert table(random.Random(0).sample(quick, SAMPLE)) == ""


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("part", range(16))
def test_all_values_of_all_keys(part: int) -> None:
    found = table(every_key.commands()[part::16])
    print(found)
    assert found == ""
    assert every_key.peak_memory() < every_key.BYTES
