"""`rnnkit.load`: a trained run in a script does what the commands do."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch

import rnnkit
from rnnkit.batch import SequenceBatch
from rnnkit.cli import run
from rnnkit.errors import UserError
from rnnkit.tasks import Task

OLD = Path(__file__).parents[1] / "old_runs"
INPUT = {
    "forecasting": "load.csv",
    "forecasting_without_a_header": "load_without_a_header.csv",
    "tagging": "valid.conllu",
    "classification": "reviews.csv",
    "regression": "reviews.csv",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    return tmp_path / "old"


@pytest.mark.parametrize("name", ["language_modeling", *INPUT])
def test_it_evaluates_as_the_command_does(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", name, "--split", "valid", "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    trained = rnnkit.load(name)
    found = trained.evaluate("valid")
    assert {key: value if value == value else None for key, value in found.items()} == {
        key: expected[key] for key in found
    }
    assert trained.config.task._target_.endswith(type(trained.task).__name__)
    assert not trained.model.training
    assert trained.model is trained.task.model


@pytest.mark.parametrize("name", INPUT)
def test_it_predicts_as_the_command_does(name: str, here: Path) -> None:
    assert run(["predict", name, "--input", INPUT[name], "--output", "expected.csv"]) == 0
    trained = rnnkit.load(name)
    rows = [row for pair in trained.predict(INPUT[name], batch_size=3) for row in trained.data.rows(*pair)]
    with open("expected.csv", newline="") as file:
        expected = list(csv.DictReader(file))
    assert len(rows) == len(expected)
    kind = name.partition("_")[0]
    column = {"tagging": "tag", "classification": "label", "regression": "value", "forecasting": "mean"}[kind]
    if name in ("tagging", "classification"):
        assert [row[column] for row in rows] == [row[column] for row in expected]
    else:
        assert [row[column] for row in rows] == pytest.approx([float(row[column]) for row in expected], rel=1e-4)


def test_it_writes_as_the_command_does_without_its_text(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("corpus.txt").unlink()
    assert run(["generate", "language_modeling", "--prompt", "the ", "--length", "20", "--seed", "1"]) == 0
    expected = capsys.readouterr().out
    trained = rnnkit.load("language_modeling")
    pieces = list(trained.generate("the ", length=20, seed=1))
    assert len(pieces) == 20
    assert "the " + "".join(pieces) + "\n" == expected


def test_what_a_run_cannot_do_is_said_with_what_it_can(here: Path) -> None:
    with pytest.raises(UserError, match=r"a run that predicts; got a run of language_modeling\. Try: rnnkit generate"):
        rnnkit.load("language_modeling").predict("corpus.txt")
    with pytest.raises(UserError, match=r"a language model; got a run of tagging\. Try: rnnkit predict tagging"):
        rnnkit.load("tagging").generate("a")


@pytest.mark.parametrize("command", ["evaluate", "predict", "generate"])
@pytest.mark.parametrize("device", ["cuda", "cuda:7", "gpu", "tpu", ""])
def test_a_device_that_is_not_there_is_named(
    command: str, device: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    name = "language_modeling" if command == "generate" else "tagging"
    assert run([command, name, "--device", device]) == 2
    expected = f"--device: expected one of cpu on this machine; got '{device}'. Try: --device cpu"
    assert expected in capsys.readouterr().err


def test_batches_go_to_the_device_of_the_task(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[torch.device] = []
    monkeypatch.setattr(SequenceBatch, "to", lambda batch, device: moved.append(device) or batch)
    monkeypatch.setattr(Task, "device", torch.device("meta"))
    trained = rnnkit.load("classification")
    list(trained.predict("reviews.csv", batch_size=7))
    count = len(moved)
    assert count > 1
    trained.evaluate("valid")
    assert len(moved) > count
    assert set(moved) == {torch.device("meta")}


def test_another_file_is_evaluated(here: Path) -> None:
    trained = rnnkit.load("tagging", data="train.conllu")
    assert list(trained.data.splits) == []
    assert trained.split() == "test"
    assert trained.evaluate()["accuracy"] == rnnkit.load("tagging").evaluate("train")["accuracy"]
