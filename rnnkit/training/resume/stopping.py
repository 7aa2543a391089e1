"""The end of a run in good order, whether it comes by itself, by a signal or with a lost worker."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint

from rnnkit.compat.lightning import is_validated_next
from rnnkit.data.loading.workers import Workers
from rnnkit.errors import UserError

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))


class Interrupted(Exception):  # noqa: N818  it is no error
    """Training was asked to stop; says what is left of it and how to go on."""


class ValidateAtTheEnd(L.Callback):
    """Makes `trainer.max_steps` end with a validation and checkpoints, wherever in an epoch it falls."""

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True


class SaveAndStop(Checkpoint):
    """Writes `last.ckpt` every so many minutes, at the end of a step, and before the run stops.

    It stops a run at the end of the step at hand, or of the validation. With `Interrupted` at SIGINT, SIGTERM and
    SIGUSR1 (what batch systems send before they end a job), with a UserError where a loader worker was lost. A second
    Ctrl-C stops at once. All processes of a distributed run stop at the same step.

    A checkpoint at the end of a step that a validation follows would skip the validation when the run goes on. So the
    validation is waited for, and with it the checkpoint that it writes: this callback must come after that one.

    Args:
        checkpoint: `last.ckpt` in the run folder.
        minutes: between two checkpoints.

    Raises:
        UserError: for minutes that are none.
    """

    def __init__(self, checkpoint: Path, minutes: float) -> None:
        if not minutes > 0:
            raise UserError("save_minutes", "a number above 0", str(minutes), fix="save_minutes=10")
        self.checkpoint = checkpoint
        self.seconds = 60 * minutes
        self._saved = 0.0
        self._asked = False
        self._step = 0
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._saved = time.monotonic()
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._ask)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self._step:  # gradients are being accumulated, and no checkpoint holds them
            return
        agreed = trainer.strategy.reduce_boolean_decision
        through = _is_through(trainer)
        stops = not through and self._reason(trainer) is not None
        due = stops or through or time.monotonic() - self._saved > self.seconds
        if agreed(due, all=False) and not is_validated_next(trainer):
            trainer.save_checkpoint(self.checkpoint)
            self._saved = time.monotonic()
            if agreed(stops, all=False):
                raise self._end(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._saved = time.monotonic()
        stops = self._reason(trainer) is not None
        if not _is_through(trainer) and trainer.strategy.reduce_boolean_decision(stops, all=False):
            raise self._end(trainer)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._release()  # Lightning tears no callback down then

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._release()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        if number == signal.SIGINT:
            signal.signal(number, self._before[number])

    def _release(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)

    def _reason(self, trainer: L.Trainer) -> str | None:
        if self._asked:
            return "Stopped"
        return _lost(trainer) and "Stopped, having lost a worker"

    def _end(self, trainer: L.Trainer) -> Exception:
        folder = self.checkpoint.parents[1]
        lost = _lost(trainer)
        if lost is None or self._asked:
            why = self._reason(trainer) or "Stopped with another process of the run"
            return Interrupted(f"{why}, nothing is lost. Go on with: rnnkit resume {folder}")
        return UserError(
            "data.workers",
            "worker processes that live as long as they are needed",
            f"one that did not ({lost}); last.ckpt holds all {trainer.global_step} steps",
            fix=f"rnnkit resume {folder} data.workers=0",
        )


@contextmanager
def stopping_at_once(folder: Path, *, new: bool) -> Iterator[None]:
    """Says what is left of a run that is stopped in its block by KeyboardInterrupt, before the first step or after.

    A `new` run that has neither a checkpoint nor a figure leaves nothing in its folder, unless other things lay there.

    Raises Interrupted.
    """
    is_first = os.environ.get("LOCAL_RANK", "0") == "0"
    is_ours = new and is_first and all(path.name == ".lock" for path in folder.iterdir())
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:  # Lightning makes the one of the other
        last = folder / "checkpoints" / "last.ckpt"
        if last.exists():
            age = round(time.time() - last.stat().st_mtime)
            said = f"Stopped at once; what is left is the last checkpoint, {age} s old"
            raise Interrupted(f"{said}. Go on with: rnnkit resume {folder}") from error
        if is_ours and not (folder / "metrics.csv").exists():
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise Interrupted("Stopped before the first checkpoint; there is nothing to go on from") from error


def _is_through(trainer: L.Trainer) -> bool:
    return trainer.should_stop or (trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs)


def _lost(trainer: L.Trainer) -> str | None:
    workers = getattr(trainer.datamodule, "workers", None)  # type: ignore[attr-defined]
    return workers.lost if isinstance(workers, Workers) else None
