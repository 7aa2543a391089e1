"""The end of a run in good order, whether it comes by itself or by Ctrl-C."""

import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L

from rnnkit.errors import UserError


class Interrupted(Exception):  # noqa: N818  it is no error
    """Training was asked to stop; the checkpoint is written."""


class ValidateAtTheEnd(L.Callback):
    """Makes `trainer.max_steps` end with a validation and checkpoints, wherever in an epoch it falls."""

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True


class SaveAndStop(L.Callback):
    """Writes `last.ckpt` every so many minutes, at the end of a step, and before the run is stopped by a signal.

    At the first SIGINT, SIGTERM or SIGUSR1 the step at hand is finished, the checkpoint written and `Interrupted`
    raised. SIGTERM and SIGUSR1 are what batch systems send before they stop a job. A second Ctrl-C stops at once.
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
        for number in (signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])):
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
        ends = trainer.is_last_batch
        if trainer.should_stop or (ends and trainer.current_epoch + 1 == trainer.max_epochs):
            return  # the run is through: its last validation, and the checkpoint after that, come at once
        agreed = trainer.strategy.reduce_boolean_decision
        due = not ends and time.monotonic() - self._saved > self.seconds  # at the end, the validation's is as good
        if agreed(self._asked or due, all=False):
            trainer.save_checkpoint(self.checkpoint)
            self._saved = time.monotonic()
            if agreed(self._asked, all=False):
                raise Interrupted

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        signal.signal(number, self._before[number])
