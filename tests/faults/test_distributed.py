"""Two processes that stopped and went on end with the weights of two that did not."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rnnkit.training import Run


@pytest.mark.slow
def test_a_distributed_run_resumes_exactly(small: list[str], tmp_path: Path) -> None:
    """With dropout: every process goes on with its own random numbers, its own carry, its own share of the lanes."""
    common = [
        *("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "data.lanes=8", "model.dropout=0.3"),
        *("schedule=constant", "trainer.limit_train_batches=null", "trainer.limit_val_batches=2"),
    ]

    def rnnkit(*words: str) -> None:
        done = subprocess.run([sys.executable, "-m", "rnnkit", *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    rnnkit("train", *small, *common, "trainer.max_epochs=3", "run_dir=whole")
    rnnkit("train", *small, *common, "trainer.max_epochs=1", "run_dir=stopped")
    rnnkit("resume", "stopped", "trainer.max_epochs=3")
    whole, stopped = (dict(Run.open(tmp_path / name).checkpoint("last")["state_dict"]) for name in ("whole", "stopped"))
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)
