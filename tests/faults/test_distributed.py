"""Two processes that stopped and went on end with the weights of two that did not."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from rnnkit.training import Run

TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "schedule=constant"]
SERIES = [
    *("task=classification", "data=cylinder_bell_funnel", "data.train_size=320", "data.valid_size=30"),
    *("data.batch_size=8", "model.hidden_size=8", "model.dropout=0.3", *TWO),
]


def rnnkit(folder: Path, *words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "rnnkit", *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def assert_same_weights(one: Path, other: Path) -> None:
    whole, stopped = (dict(Run.open(folder).checkpoint("last")["state_dict"]) for folder in (one, other))
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)


@pytest.mark.slow
def test_a_distributed_run_resumes_exactly(small: list[str], tmp_path: Path) -> None:
    """With dropout: every process goes on with its own random numbers, its own carry, its own share of the lanes."""
    common = [
        *(*small, *TWO, "data.lanes=8", "model.dropout=0.3"),
        *("trainer.limit_train_batches=null", "trainer.limit_val_batches=2"),
    ]
    rnnkit(tmp_path, "train", *common, "trainer.max_epochs=3", "run_dir=whole")
    rnnkit(tmp_path, "train", *common, "trainer.max_epochs=1", "run_dir=stopped")
    rnnkit(tmp_path, "resume", "stopped", "trainer.max_epochs=3")
    assert_same_weights(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.slow
def test_a_distributed_run_has_the_same_numbers_with_workers(tmp_path: Path) -> None:
    rnnkit(tmp_path, "train", *SERIES, "trainer.max_epochs=2", "run_dir=alone")
    rnnkit(tmp_path, "train", *SERIES, "trainer.max_epochs=1", "data.workers=2", "run_dir=helped")
    rnnkit(tmp_path, "resume", "helped", "trainer.max_epochs=2", "data.workers=1")
    assert_same_weights(tmp_path / "alone", tmp_path / "helped")


def children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    found = []
    for task in tasks:
        with contextlib.suppress(OSError):  # it has just ended
            found += map(int, task.read_text().split())
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_of_one_process_that_is_killed_ends_all_of_them_at_the_same_step(tmp_path: Path) -> None:
    command = [*SERIES, "data.workers=1", "trainer.max_epochs=200", "run_dir=run"]
    first = subprocess.Popen(
        [sys.executable, "-m", "rnnkit", "train", *command], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    log = tmp_path / "run" / "metrics.csv"
    deadline = time.monotonic() + 120
    try:
        while time.monotonic() < deadline and first.poll() is None:
            # the other process is the child that has children of its own; one of them may have done its work already
            workers = [worker for child in children(first.pid) for worker in children(child)]
            if log.exists() and log.read_text().count("\n") > 5:
                for worker in workers:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)
            time.sleep(0.05)
        _, said = first.communicate(timeout=60)
    finally:
        first.kill()
    assert first.returncode not in (0, -signal.SIGKILL), said
    assert "data.workers: expected worker processes that stay alive" in said
    assert "Traceback" not in said
    steps = int(Run.open(tmp_path / "run").checkpoint("last")["global_step"])
    assert f"last.ckpt holds all {steps} steps" in said
