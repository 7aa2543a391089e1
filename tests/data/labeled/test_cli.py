"""Labeled data through the command line: train, stop and resume, evaluate, predict."""

import csv
import io
import json
import os
import random
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnkit.cli import run
from rnnkit.training import Run

SMALL = [
    "model.hidden_size=8",
    "data.batch_size=8",
    "trainer.max_epochs=3",
    "trainer.log_every_n_steps=2",
    "trainer.enable_progress_bar=false",
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """60 texts of 1 to 9 words, from whose words the label follows."""
    chance = random.Random(0)
    rows = ["text,label,length"]
    for n in range(60):
        words = chance.choices(["fine", "warm"] if n % 2 else ["grim", "cold"], k=chance.randint(1, 9))
        rows.append(f"{' '.join(words)},{'good' if n % 2 else 'bad'},{len(words)}")
    (tmp_path / "texts.csv").write_text("\n".join(rows))
    return tmp_path / "texts.csv"


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Random walks of several lengths, and at every step how far it has gone."""
    steps = np.random.default_rng(0).normal(0, 1, (40, 12, 2))
    lengths = np.arange(40) % 9 + 4
    np.savez(tmp_path / "walks.npz", x=steps, y=steps.cumsum(1).sum(2), lengths=lengths)
    return tmp_path / "walks.npz"


def commands(kind: str, table: Path, series: Path) -> list[str]:
    """The first is a class for every text, the second a number for every text, the third a number for every step."""
    return {
        "label": ["task=classification", "data=labeled_text", f"data.path={table}", "model.dropout=0.2"],
        "number": ["task=regression", "data=labeled_text", f"data.path={table}", "data.target=number",
                   "data.target_column=length"],
        "curve": ["task=regression", "data=labeled_series", f"data.path={series}", "data.target=curve",
                  "model.pooling=null", "model.bidirectional=false"],
    }[kind]  # fmt: skip


@pytest.mark.parametrize("kind", ["label", "curve"])
def test_a_run_that_was_stopped_and_resumed_ends_as_one_that_was_not(
    kind: str, table: Path, series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [*commands(kind, table, series), *SMALL]
    assert run(["train", *overrides, f"run_dir={tmp_path / 'whole'}"]) == 0

    from rnnkit.training.report.monitor import Monitor

    original = Monitor.on_train_batch_end
    batches = 0

    def interrupting(self: Monitor, *arguments: object) -> None:
        nonlocal batches
        batches += 1
        if batches == 8:  # within the second epoch
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Monitor, "on_train_batch_end", interrupting)
    with pytest.raises(SystemExit, match="130"):
        run(["train", *overrides, f"run_dir={tmp_path / 'stopped'}"])
    assert run(["resume", str(tmp_path / "stopped")]) == 0
    whole, stopped = (Run.open(tmp_path / name).checkpoint("last")["state_dict"] for name in ("whole", "stopped"))
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)


def test_evaluate_and_predict_agree_with_the_labels(
    table: Path,
    series: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "run"
    settings = ["trainer.max_epochs=20", "optimizer.lr=0.02"]
    assert run(["train", *commands("label", table, series), *SMALL, *settings, f"run_dir={folder}"]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(folder), "--data", str(table), "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["sequences"] == 60
    assert measured["accuracy"] == 1
    out = tmp_path / "out.csv"
    assert run(["predict", str(folder), "--input", str(table), "--output", str(out)]) == 0
    with table.open() as asked, out.open() as answered:
        truth, rows = list(csv.DictReader(asked)), list(csv.DictReader(answered))
    assert [row["label"] for row in rows] == [row["label"] for row in truth]
    assert [int(row["id"]) for row in rows] == list(range(60))
    assert all(float(row["p_bad"]) + float(row["p_good"]) == pytest.approx(1, abs=1e-5) for row in rows)
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(json.dumps({"text": row["text"]}) + "\n" for row in truth)))
    assert run(["predict", str(folder)]) == 0
    alone = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for ours, theirs in zip(alone, rows, strict=True):  # padded in a batch, and alone
        assert ours["p_good"] == pytest.approx(float(theirs["p_good"]), abs=1e-5)


def test_predictions_of_numbers_and_of_curves(table: Path, series: Path, tmp_path: Path) -> None:
    for kind, source in (("number", table), ("curve", series)):
        folder, out = tmp_path / kind, tmp_path / f"{kind}.jsonl"
        assert run(["train", *commands(kind, table, series), *SMALL, f"run_dir={folder}"]) == 0
        assert run(["predict", str(folder), "--input", str(source), "--output", str(out)]) == 0
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        if kind == "number":
            assert [set(row) for row in rows] == [{"id", "value"}] * 60
        else:
            lengths = np.load(series)["lengths"]
            assert [(row["id"], row["step"]) for row in rows] == [(n, t) for n in range(40) for t in range(lengths[n])]


@pytest.mark.parametrize("kind", ["the same", "another path", "a link", "a hard link", "standard input", "in a folder"])
def test_an_output_that_is_the_input_is_refused_before_it_is_read(
    kind: str, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.csv"
    if kind == "a link":
        output.symlink_to(table)
    elif kind == "a hard link":
        output.hardlink_to(table)
    elif kind == "another path":
        (tmp_path / "folder").mkdir()
        output = tmp_path / "folder" / ".." / table.name
    else:
        output = table
    before = table.read_text()
    files = ["--input", str(tmp_path if kind == "in a folder" else table), "--output", str(output)]
    with table.open() as typed:
        monkeypatch.setattr("sys.stdin", typed)
        assert run(["predict", "nowhere", *(files[2:] if kind == "standard input" else files)]) == 2
    assert "--output: expected a file other than the input; got" in capsys.readouterr().err
    assert table.read_text() == before


def test_an_output_is_written_whole_or_not_at_all(
    table: Path, series: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, old, link, bad = (tmp_path / name for name in ("run", "old.csv", "link.csv", "bad.csv"))
    assert run(["train", *commands("label", table, series), *SMALL, "trainer.max_epochs=1", f"run_dir={folder}"]) == 0
    old.write_text("mine")
    link.symlink_to(old)
    bad.write_text("\n".join(["text,label,length", *["fine,good,1"] * 3000, "cut"]))
    command = ["predict", str(folder), "--batch-size", "1", "--output", str(link), "--input"]
    assert run([*command, str(bad)]) == 2
    assert old.read_text() == "mine"
    assert run([*command, str(table)]) == 0
    assert link.is_symlink()
    assert len(old.read_text().splitlines()) == 61
    assert not [*tmp_path.glob(".*")]
    assert run([*command[:-3], "--output", os.devnull, "--format", "csv", "--input", str(table)]) == 0
    assert not Path(os.devnull).is_file()
    capsys.readouterr()
    assert run([*command[:-3], "--output", str(folder), "--format", "csv", "--input", str(table)]) == 2
    assert "got '" in capsys.readouterr().err


def test_data_for_the_other_task_are_refused(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["train", "task=classification", "data=labeled_text", f"data.path={table}", "data.target=number"]
    assert run([*given, f"run_dir={tmp_path / 'run'}"]) == 2
    assert "expected data for classification; got TextLabelData, which is for regression" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
