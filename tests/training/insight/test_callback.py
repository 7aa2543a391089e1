"""Insight while training: the weights are the same without it, a resumed run logs the same, and its cost is bounded."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnnkit.cli import run
from rnnkit.errors import UserError
from rnnkit.training import Insight

TIMED = ("share_of_time",)
STEPS = ["trainer.max_epochs=-1", "trainer.limit_train_batches=1.0", "data.bptt_steps=8"]


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return state


def _rows(folder: Path) -> list[dict[str, Any]]:
    rows = json.loads((folder / "insight.json").read_text())["rows"]
    return [{name: value for name, value in row.items() if name not in TIMED} for row in rows]


@pytest.fixture(scope="module")
def watched(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 210 steps with insight; the interval does not depend on the speed of this machine."""
    folder = tmp_path_factory.mktemp("watched") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rnnkit.training.insight.callback.LEVELS", _unhurried())
        assert run(["train", *small, *STEPS, "trainer.max_steps=210", f"run_dir={folder}"]) == 0
    return folder


def _unhurried() -> Any:
    from rnnkit.training.insight.callback import LEVELS

    return {name: level._replace(share=100.0) for name, level in LEVELS.items()}


def test_a_run_with_insight_has_the_weights_of_one_without(watched: Path, small: list[str], tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    assert run(["train", *small, *STEPS, "trainer.max_steps=210", "insight=null", f"run_dir={plain}"]) == 0
    mine, other = _weights(watched), _weights(plain)
    assert all(torch.equal(mine[name], other[name]) for name in other)
    assert not (plain / "insight.json").exists()
    assert [row["step"] for row in _rows(watched)] == [20, 100, 200]


def test_a_run_resumed_between_and_after_measurements_is_the_same(
    watched: Path, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnnkit.training.insight.callback.LEVELS", _unhurried())
    folder = tmp_path / "run"
    # the rate depends on the number of steps; so the run is stopped by a limit of its own
    assert run(["train", *small, *STEPS, "schedule=constant", "trainer.max_steps=100", f"run_dir={folder}"]) == 0
    assert run(["resume", str(folder), "trainer.max_steps=210"]) == 0
    whole = tmp_path / "whole"
    assert run(["train", *small, *STEPS, "schedule=constant", "trainer.max_steps=210", f"run_dir={whole}"]) == 0
    mine, other = _weights(folder), _weights(whole)
    assert all(torch.equal(mine[name], other[name]) for name in other)
    assert _rows(folder) == _rows(whole)


def test_figures_and_their_arrangement_are_in_tensorboard(watched: Path) -> None:
    events = EventAccumulator(str(watched)).Reload()
    tags = events.Tags()
    scalars = {tag: [event.step for event in events.Scalars(tag)] for tag in tags["scalars"]}
    for tag in ("flow/lag_1", "flow/lag_8", "memory_length", "saturated/forget", "update_ratio", "gradient_norm"):
        assert scalars[f"insight/layer1/{tag}"] == [20, 100, 200], tag
    assert scalars["insight/carry_gain"] == [200]
    assert scalars["insight/context_used"] == [200]
    assert "insight/layer1/flow_by_lag_over_training" in tags["images"]
    assert "custom_scalars__config__" in tags["tensors"]
    last = _rows(watched)[-1]["layers"]["layer1"]
    assert last["flow"]["1"] == 1
    assert 1 <= last["memory_length"] <= 8
    assert 0 < last["update_ratio"] < 1


def test_a_model_that_cannot_be_measured_is_trained_all_the_same(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(model: Any) -> Any:
        raise UserError("model", "something else", "this", fix="that")

    monkeypatch.setattr("rnnkit.training.insight.callback.shared_twin", refuse)
    assert (
        run(["train", *small, "trainer.limit_train_batches=30", "trainer.max_epochs=1", f"run_dir={tmp_path}/r"]) == 0
    )
    assert capfd.readouterr().err.count("insight is off") == 1


def test_it_measures_half_as_often_where_it_takes_too_long(small: list[str], tmp_path: Path, monkeypatch: Any) -> None:
    # a share that no measurement keeps
    slow = {name: level._replace(share=0.0) for name, level in _unhurried().items()}
    monkeypatch.setattr("rnnkit.training.insight.callback.LEVELS", slow)
    monkeypatch.setattr("rnnkit.training.insight.callback.LEAST_OFTEN", 100)
    folder = tmp_path / "run"
    assert run(["train", *small, *STEPS, "trainer.max_steps=210", "insight=full", f"run_dir={folder}"]) == 0
    assert [row["step"] for row in _rows(folder)] == [20, 100, 200]
    with pytest.raises(UserError, match="light or full"):
        Insight("more")  # type: ignore[arg-type]
