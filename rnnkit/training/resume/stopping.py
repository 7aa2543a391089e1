"""Orderly stops of a run: at its end, by a signal, or after the loss of a worker process."""

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
from rnnkit.ranks import is_first_of_machine

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))


class Interrupted(Exception):  # noqa: N818  not an error
    """Raised if training was asked to stop; the message states what was saved and how to resume."""


class ValidateAtTheEnd(L.Callback):
    """Makes `trainer.max_steps` end with a validation and checkpoints, at any place in an epoch."""

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True


class SaveAndStop(Checkpoint):
    """Writes `last.ckpt` at regular intervals, at the end of a step, and before the run stops.

    It stops a run at the end of the current step or validation: with `Interrupted` at SIGINT, SIGTERM and SIGUSR1 (sent
    by batch systems before they end a job), with a UserError after the loss of a loader worker. A second Ctrl-C stops
    immediately. All processes of a distributed run stop at the same step.

    A checkpoint at the end of a step that is followed by a validation would skip the validation after a resume.
    Therefore this callback waits for the validation and for the checkpoint that it writes: it must come after the
    callback that writes it.

    Args:
        checkpoint: the path of `last.ckpt` in the run folder.
        minutes: the interval between two checkpoints.

    Raises:
        UserError: if `minutes` is not positive.
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
        if trainer.global_step == self._step:  # gradients are accumulating, and no checkpoint has them
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
        self._release()  # Lightning calls no teardown after an exception

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
        return _lost(trainer) and "Stopped after losing a worker"

    def _end(self, trainer: L.Trainer) -> Exception:
        folder = self.checkpoint.parents[1]
        lost = _lost(trainer)
        if lost is None or self._asked:
            why = self._reason(trainer) or "Stopped with another process of the run"
            return Interrupted(f"{why}, nothing is lost. Resume with: rnnkit resume {folder}")
        return UserError(
            "data.workers",
            "worker processes that stay alive",
            f"one that died ({lost}); last.ckpt holds all {trainer.global_step} steps",
            fix=f"rnnkit resume {folder} data.workers=0",
        )


@contextmanager
def stopping_at_once(folder: Path, *, new: bool) -> Iterator[None]:
    """Report how to resume a run that KeyboardInterrupt stops in the block, at any time.

    A `new` run without a checkpoint or metrics leaves nothing in its folder, unless other files were there.

    Raises:
        Interrupted: in place of KeyboardInterrupt and SystemExit.
    """
    is_first = is_first_of_machine()
    is_ours = new and is_first and all(path.name == ".lock" for path in folder.iterdir())
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as error:  # Lightning turns the former into the latter
        last = folder / "checkpoints" / "last.ckpt"
        if last.exists():
            age = round(time.time() - last.stat().st_mtime)
            message = f"Stopped immediately; the last checkpoint is {age} s old"
            raise Interrupted(f"{message}. Resume with: rnnkit resume {folder}") from error
        if is_ours and not (folder / "metrics.csv").exists():
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise Interrupted("Stopped before the first checkpoint; there is nothing to resume") from error


def _is_through(trainer: L.Trainer) -> bool:
    return trainer.should_stop or (trainer.is_last_batch and trainer.current_epoch + 1 == trainer.max_epochs)


def _lost(trainer: L.Trainer) -> str | None:
    workers = getattr(trainer.datamodule, "workers", None)  # type: ignore[attr-defined]
    return workers.lost if isinstance(workers, Workers) else None
