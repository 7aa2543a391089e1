"""Training from the command line takes the fast engine by itself, and learns what the Python loop would."""

import csv
from pathlib import Path
from typing import Any

import pytest

from rnnkit.cli import run
from rnnkit.engines import compiled, parallel, policy, reference
from rnnkit.engines.request import Request

CELLS = ["layer_norm_lstm", "slstm", "cfc", "min_gru", "lru", "weight_drop_lstm"]


def losses(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]


@pytest.mark.parametrize("cell", CELLS)
def test_the_loss_curve_is_the_loops(
    cell: str, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [*small, f"model/cell={cell}", "model.dropout=0", "trainer.max_epochs=1", "trainer.log_every_n_steps=1"]
    overrides += ["insight=null"]  # it runs loops of its own
    windows: set[str] = set()
    for name, engine in (("compiled", compiled), ("parallel", parallel), ("reference", reference)):
        original = engine.run

        def watched(request: Request, name: str = name, original: Any = original) -> Any:
            if request.x.shape[1] >= policy.FEWEST_STEPS:
                windows.add(name)
            return original(request)

        monkeypatch.setattr(engine, "run", watched)
    assert run(["train", *overrides, f"run_dir={tmp_path / 'fast'}"]) == 0
    assert windows == {"parallel" if cell == "lru" else "compiled"}
    monkeypatch.setattr(policy, "ENGINES", {"reference": reference})
    assert run(["train", *overrides, f"run_dir={tmp_path / 'loop'}"]) == 0
    fast, loop = losses(tmp_path / "fast"), losses(tmp_path / "loop")
    assert len(fast) >= 15
    assert fast == pytest.approx(loop, rel=2e-3)
