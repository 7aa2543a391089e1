"""Training from the command line takes the fast engine by itself, and learns what the Python loop would."""

import csv
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from rnnkit.cli import run
from rnnkit.engines import compiled, parallel, reference, scanning

CELLS = ["layer_norm_lstm", "slstm", "cfc", "min_gru", "lru", "weight_drop_lstm"]


def losses(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]


@pytest.mark.parametrize("cell", CELLS)
def test_the_loss_curve_is_the_loops(
    cell: str, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [*small, f"model/cell={cell}", "model.dropout=0", "trainer.max_epochs=1", "trainer.log_every_n_steps=1"]
    windows: set[str] = set()
    for name, engine in (("compiled", compiled), ("parallel", parallel), ("reference", reference)):
        original = engine.run

        def watched(cell: Any, x_BTI: Tensor, *rest: Any, name: str = name, original: Any = original) -> Any:
            if x_BTI.shape[1] >= compiled.FEWEST_STEPS:
                windows.add(name)
            return original(cell, x_BTI, *rest)

        monkeypatch.setattr(engine, "run", watched)
    assert run(["train", *overrides, f"run_dir={tmp_path / 'fast'}"]) == 0
    assert windows == {"parallel" if cell == "lru" else "compiled"}
    monkeypatch.setattr(scanning, "ENGINES", {"reference": reference})
    assert run(["train", *overrides, f"run_dir={tmp_path / 'loop'}"]) == 0
    fast, loop = losses(tmp_path / "fast"), losses(tmp_path / "loop")
    assert len(fast) >= 15
    assert fast == pytest.approx(loop, rel=2e-3)
