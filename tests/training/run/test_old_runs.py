"""Runs of earlier versions: they are evaluated with the same result, used for predictions, and resumed."""

import json
import math
import shutil
from pathlib import Path

import pytest

from rnnkit.cli import run

OLD = Path(__file__).parents[2] / "old_runs"
NEW_INPUT = {
    "forecasting": "load.csv",
    "tagging": "valid.conllu",
    "classification": "reviews.csv",
    "regression": "reviews.csv",
}
CHANGES_EACH_TIME = {"seconds"}


@pytest.fixture(params=["language_modeling", *NEW_INPUT])
def old(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an old run in a copy of the folder where it was trained."""
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    return str(request.param)


def test_it_is_evaluated_as_before(old: str, capsys: pytest.CaptureFixture[str]) -> None:
    expected = json.loads(Path(old, "expected.json").read_text())
    assert run(["evaluate", old, "--split", expected["split"], "--json"]) == 0
    got = json.loads(capsys.readouterr().out)
    for name, value in expected.items():
        if isinstance(value, str):
            assert got[name] == value, name
        elif name not in CHANGES_EACH_TIME and math.isfinite(value):
            assert got[name] == pytest.approx(value, rel=1e-5), name


def test_it_predicts(old: str, capsys: pytest.CaptureFixture[str]) -> None:
    if old in NEW_INPUT:
        assert run(["predict", old, "--input", NEW_INPUT[old], "--output", "predictions.csv"]) == 0
        assert len(Path("predictions.csv").read_text().splitlines()) > 5
    else:
        assert run(["generate", old, "--length", "20", "--seed", "1"]) == 0
        assert len(capsys.readouterr().out) >= 20


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
def test_it_is_resumed(old: str) -> None:
    before = json.loads(Path(old, "summary.json").read_text())
    assert run(["resume", old, "trainer.max_epochs=3"]) == 0
    after = json.loads(Path(old, "summary.json").read_text())
    assert after["epochs"] == 3
    assert after["steps"] == before["steps"] * 3 // 2
