"""Checkpoints and early stopping of the user's own, beside those of a run."""

import json
from pathlib import Path

import pytest

from rnnkit.cli import run
from rnnkit.training import Run

SAVER = "lightning.pytorch.callbacks.ModelCheckpoint"
QUICK = ["trainer.max_epochs=2", "trainer.limit_train_batches=3", "trainer.limit_val_batches=1"]


def test_several_beside_ours(small: list[str], tmp_path: Path) -> None:
    """They write into folders of their own, and the figures of a run are those of its own best."""
    own = [
        f"+callbacks.each={{_target_: {SAVER}, every_n_epochs: 1, save_top_k: -1}}",
        f"+callbacks.sharpest={{_target_: {SAVER}, monitor: val/perplexity, filename: best, save_last: true}}",
        "+callbacks.stop={_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/perplexity, patience: 9}",
    ]
    folder = tmp_path / "run"
    assert run(["train", *small, *QUICK, *own, "patience=9", f"run_dir={folder}"]) == 0
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["best_val/loss"] == pytest.approx(summary["val/loss"])
    checkpoints = folder / "checkpoints"
    assert {path.name for path in checkpoints.iterdir() if path.is_file()} >= {"best.ckpt", "last.ckpt"}
    assert len([*(checkpoints / "each").glob("epoch=*.ckpt")]) == 2
    assert {path.name for path in (checkpoints / "sharpest").iterdir()} >= {"best.ckpt", "last.ckpt"}
    assert Run(folder).checkpoint("best")["global_step"] == summary["steps"]
    assert run(["resume", str(folder), "trainer.max_epochs=3"]) == 0
    # Lightning's writes the last of the first part once more, as a version of its own
    assert {path.name[:7] for path in (checkpoints / "each").iterdir()} == {"epoch=0", "epoch=1", "epoch=2"}


def test_those_that_would_write_over_ours(small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    mine = f"+callbacks.mine={{_target_: {SAVER}, dirpath: {folder}/checkpoints, filename: best}}"
    assert run(["train", *small, *QUICK, mine, f"run_dir={folder}"]) == 2
    assert "callbacks.mine.dirpath: expected a folder apart from the run's own" in capsys.readouterr().err
    twice = [f"+callbacks.{name}={{_target_: {SAVER}, filename: {name}}}" for name in ("one", "two")]
    assert run(["train", *small, *QUICK, *twice, f"run_dir={folder}"]) == 2
    assert "callbacks: expected callbacks of one class that differ" in capsys.readouterr().err
    assert not folder.exists()
