"""rnnkit stream, export and profile, on small runs."""

import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnkit import load
from rnnkit.cli import run

CURVES = "id,a,b,label\n" + "".join(
    f"s{n},{np.sin(t / 3 + n):.4f},{t / 10 + n % 2:.4f},{t + n:.3f}\n" for n in range(12) for t in range(15)
)


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that maps series to curves."""
    folder = tmp_path_factory.mktemp("curves")
    (folder / "series.csv").write_text(CURVES)
    overrides = [f"data.path={folder}/series.csv", "data.id_column=id", "data.target=curve", "data.test_fraction=0"]
    overrides += ["model.pooling=null", "model.hidden_size=8", "trainer.max_epochs=2", "model.bidirectional=false"]
    code = run(["train", "data=labeled_series", "task=regression", *overrides, f"run_dir={folder}/run"])
    assert code == 0
    return folder / "run"


def stream(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[dict]:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    capsys.readouterr()
    assert run(["stream", str(folder)]) == 0
    captured = capsys.readouterr()
    assert "p50" in captured.err
    assert "p99" in captured.err
    return [json.loads(line) for line in captured.out.splitlines()]


def test_each_row_is_answered_as_by_predict(
    curves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two series whose rows come in turns."""
    rows = ["id,a,b,label"]
    for t in range(6):
        rows += [f"x,{t / 5},{t / 9},0", f"y,{-t / 5},{1 + t / 9},0"]
    found = stream(curves, "\n".join(rows) + "\n", monkeypatch, capsys)
    file = tmp_path / "new.csv"
    file.write_text("\n".join([rows[0], *rows[1::2], *rows[2::2]]) + "\n")
    for example, prediction in load(curves).predict(file):
        mine = [row for row in found if row["id"] == example.id]
        assert [row["step"] for row in mine] == list(range(6))
        assert np.allclose([row["value"] for row in mine], prediction.values, atol=1e-4)


def test_a_text_is_scored_as_it_comes(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = stream(trained, "the river runs\nto the sea\n", monkeypatch, capsys)
    model, tokenizer = load(trained).model, load(trained).data.tokenizer
    ids_T = tokenizer.encode("the river runs\nto the sea\n").long()
    with torch.no_grad():
        logits_TV = model(ids_T[None])[0][0]
    losses_T = torch.nn.functional.cross_entropy(logits_TV[:-1], ids_T[1:], reduction="none")
    assert [row["tokens"] for row in found] == [15, 11]
    assert found[0]["nats_per_token"] == pytest.approx(losses_T[:14].mean().item(), abs=1e-4)
    assert found[1]["nats_per_token"] == pytest.approx(losses_T[14:].mean().item(), abs=1e-4)


@pytest.mark.parametrize(("text", "word"), [("id,a,b\nx,1,2\nx,one,2\n", "row 3"), ("id,a\nx,1\n", "channels")])
def test_a_bad_row_ends_the_stream_with_its_number(
    text: str, word: str, curves: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert run(["stream", str(curves)]) == 2
    assert word in capsys.readouterr().err


def test_a_run_is_exported_and_checked_on_its_own_data(
    curves: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", str(curves), "--format", "c", "--output", str(tmp_path / "out")]) == 0
    assert "over 15 steps" in capsys.readouterr().out
    subprocess.run(["make", "-s", "check", "OPTIMIZE=-O1"], cwd=tmp_path / "out", check=True, capture_output=True)
    assert run(["export", str(curves), "--format", "c", "--output", str(tmp_path / "out")]) == 2
    assert "in use" in capsys.readouterr().err


def test_a_run_that_needs_the_future_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = Path(__file__).parents[1] / "old_runs" / "regression"
    assert run(["export", str(old), "--format", "c", "--output", str(tmp_path / "out")]) == 2
    assert "model.bidirectional=false" in capsys.readouterr().err


def test_a_profile_counts_what_a_step_does(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profile", str(trained), "--steps", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    model = load(trained).model
    H, V = 24, model.output.out_features
    assert found["macs"] == 4 * H * (H + H) + H * V
    assert found["weight_bytes"] == 4 * sum(parameter.numel() for parameter in model.parameters())
    assert found["state_bytes"] == 2 * 4 * H
    assert found["energy"]["estimate"] is True
    assert "Horowitz" in found["energy"]["basis"]
    assert 0 < found["p50_us"] <= found["p99_us"]
    assert run(["profile", str(trained), "--steps", "20"]) == 0
    assert "multiply-adds" in capsys.readouterr().out
