"""The time limit of a run, with which the learning-rate schedule ends too."""

import math
import time
from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Timer

from rnnkit.errors import UserError
from rnnkit.notices import notice


class TimeBudget(L.Callback):
    """Ends a run when its time is used up, at the end of a step, with a validation; it trains at least one step.

    Time counts from the start of the process, includes data loading and validation, and is part of the checkpoint, so
    that it adds up over resumes. After each optimizer step, `time_used` of the schedulers that have it is set to the
    share of the time used. All processes of a distributed run follow the slowest clock.

    Args:
        max_time: DD:HH:MM:SS, or another format that Lightning accepts; None for no limit.

    Raises:
        UserError: if `max_time` is not a time.
    """

    def __init__(self, max_time: Any = None) -> None:
        self.seconds = _seconds(max_time)
        self._begun = time.monotonic()
        self._before = 0.0
        self._step = 0

    @property
    def elapsed(self) -> float:
        """The number of seconds since the run began."""
        return self._before + time.monotonic() - self._begun

    @property
    def is_over(self) -> bool:
        return self.elapsed >= self.seconds

    @property
    def twice(self) -> str:
        """Twice the time, as DD:HH:MM:SS."""
        seconds = math.ceil(2 * self.seconds)
        return f"{seconds // 86400:02}:{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"

    def state_dict(self) -> dict[str, Any]:
        return {"elapsed": self.elapsed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._before = state_dict["elapsed"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._step = trainer.global_step
        if trainer.global_step:  # resumed
            self._look(trainer)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step != self._step:  # not during gradient accumulation
            self._step = trainer.global_step
            self._look(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.should_stop:
            self._look(trainer)

    def _look(self, trainer: L.Trainer) -> None:
        if self.seconds == math.inf:
            return
        used = self.elapsed / self.seconds
        if trainer.world_size > 1:
            slowest = torch.tensor(used, device=trainer.strategy.root_device)
            used = float(trainer.strategy.reduce(slowest, reduce_op="max"))
        for entry in trainer.lr_scheduler_configs:
            if hasattr(entry.scheduler, "time_used"):
                entry.scheduler.time_used = min(1.0, used)
        if used >= 1:
            notice(f"Reached trainer.max_time at step {trainer.global_step}.")
            trainer.should_stop = True
            if trainer.check_val_every_n_epoch is not None:
                trainer.check_val_every_n_epoch = 1  # validates in this epoch too


def _seconds(max_time: Any) -> float:
    try:
        left = Timer(dict(max_time) if isinstance(max_time, Mapping) else max_time).time_remaining()
    except (MisconfigurationException, TypeError, AttributeError):
        left = -1
    if left is None:
        return math.inf
    if not left > 0:
        fix = "trainer.max_time=00:08:00:00"
        raise UserError("trainer.max_time", "a time above 0 as DD:HH:MM:SS", str(max_time), fix=fix)
    return left
