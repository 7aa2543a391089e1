"""What it costs that nothing is lost: the training step with its guards and without them, and the time of a checkpoint.

    python scripts/bench_faults.py [--steps 1500] [--block 5] [KEY=VALUE ...]

One run of the default model. Every few steps its guards are taken away or put back: the callbacks that look for bad
numbers, keep the state of random numbers, count the time and listen to signals, and the look at each gradient. Each
pair of neighboring blocks is a comparison of processor time, so that a machine whose speed drifts or that has other
work treats both alike. Then the training thread writes checkpoints, as it does after validations: hashed, flushed to
the disk, renamed.
"""

import argparse
import contextlib
import importlib
import io
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint

from rnnkit.cli import run
from rnnkit.training.checks.nonfinite import NonFiniteGuard
from rnnkit.training.resume.checkpoints import FixEpochCounterOnResume
from rnnkit.training.resume.randomness import RandomState
from rnnkit.training.resume.stopping import SaveAndStop
from rnnkit.training.run.provenance import Provenance

GUARDS = (NonFiniteGuard, RandomState, FixEpochCounterOnResume, Provenance, SaveAndStop)
WARM_UP = 50
SAVES = 20


class Alternate(Checkpoint):
    """Takes the guards away for every second block of steps; a checkpoint callback, so that it comes after them."""

    def __init__(self, block: int) -> None:
        self.block = block
        self.seconds: dict[bool, list[float]] = {True: [], False: []}
        self.saves: list[float] = []
        self._guarded = True

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        self._clock = time.process_time()
        self._all = list(trainer.callbacks)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step % self.block:
            return
        now = time.process_time()
        if trainer.global_step > WARM_UP:
            self.seconds[self._guarded].append((now - self._clock) / self.block)
        self._guard(trainer, pl_module, not self._guarded)
        self._clock = time.process_time()

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        self._guard(trainer, pl_module, True)
        path = Path(trainer.checkpoint_callbacks[0].dirpath, "last.ckpt")
        for _ in range(SAVES):
            started = time.perf_counter()
            trainer.save_checkpoint(path)
            self.saves.append(time.perf_counter() - started)
        self.bytes = path.stat().st_size

    def _guard(self, trainer: L.Trainer, task: Any, guarded: bool) -> None:
        self._guarded = guarded
        trainer.callbacks = [c for c in self._all if guarded or not isinstance(c, GUARDS)]
        if guarded:
            vars(task).pop("configure_gradient_clipping", None)
        else:
            task.configure_gradient_clipping = lambda *_, **__: clip(task)


def clip(task: Any) -> None:
    """What `Task.configure_gradient_clipping` does, without a look at the norm."""
    groups = task.trainer.optimizers[0].param_groups
    task.clipping = task.clip([p for group in groups for p in group["params"] if p.grad is not None])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--block", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given, overrides = parser.parse_known_args()
    torch.set_num_threads(given.threads)
    alternate = Alternate(given.block)
    module = importlib.import_module("rnnkit.training.fit")
    callbacks = module._callbacks  # type: ignore[attr-defined]
    module._callbacks = lambda *arguments: [*callbacks(*arguments), alternate]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        limits = ["trainer.max_epochs=-1", f"trainer.max_steps={given.steps}", "schedule=constant"]
        quiet = ["trainer.limit_val_batches=2", "callbacks={}"]
        assert run(["train", *limits, *quiet, f"run_dir={folder}/run", *overrides]) == 0
    guarded, bare = alternate.seconds[True], alternate.seconds[False]
    pairs = [one / other for one, other in zip(guarded, bare, strict=False)]
    low, middle, high = statistics.quantiles(pairs, n=4)
    print(f"{given.threads} threads, torch {torch.__version__}, {len(pairs)} pairs of blocks of {given.block} steps")
    print(
        f"a step with guards {1e3 * statistics.median(guarded):.2f} ms, without {1e3 * statistics.median(bare):.2f} ms"
    )
    print(f"ratio {middle:.4f}, quartiles {low:.4f} and {high:.4f}")
    saves = sorted(alternate.saves)
    print(
        f"a checkpoint of {alternate.bytes / 2**20:.1f} MiB: {1e3 * statistics.median(saves):.1f} ms, "
        f"at most {1e3 * saves[-1]:.1f} ms, of {len(saves)}"
    )


if __name__ == "__main__":
    main()
