"""Metrics of the training loop, accumulated without synchronizing with the device."""

import time
from typing import Any

import lightning as L
import torch
from torch import Tensor

from rnnkit.batch import SequenceBatch
from rnnkit.tasks import Task
from rnnkit.training.report.loggers import MetricsFile


class Monitor(L.Callback):
    """Logs the task's validation metrics, and training metrics every `every` optimizer steps.

    `epoch` counts from 1, `seconds` is the time spent in training. Under `train/`, since the last time: `loss` (mean
    over the batches) and the task's `metrics_from_loss`, `learning_rate`, `gradient_norm` (mean, before clipping),
    `clipped_share` (of the optimizer steps), the task's `training_state_metrics`, `padding` (the share of the batches
    that is padding, if there is any), `time_steps_per_second` (valid time steps of all rows and processes, without
    validation). Sums are accumulated on the device and read once for each log line.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.latest: dict[str, float] = {}
        """The training metrics logged last."""
        self.validated: dict[str, float] = {}
        """The validation metrics logged last."""
        self.time_steps = 0
        """The number of valid time steps trained on since the run began, over all rows and processes."""
        self.epochs = 0
        """The number of epochs begun."""
        self.seconds = 0.0
        """The time spent in training since the run began, without validation."""
        self._clock: float | None = None
        self._step = 0
        self._clear()

    def _clear(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._windows = self._updates = self._rectangle = 0
        self._time_steps_at, self._seconds_at = self.time_steps, self.seconds

    def state_dict(self) -> dict[str, Any]:
        # the sums since the last line are saved, so that the next line is the same after a resume
        counts = {"windows": self._windows, "updates": self._updates, "rectangle": self._rectangle}
        at = {"tokens_at": self._time_steps_at, "seconds_at": self._seconds_at}
        logged = {"latest": self.latest, "validated": self.validated, "epochs": self.epochs}
        return {"tokens": self.time_steps, "seconds": self.seconds, "sums": dict(self._sums), **counts, **at, **logged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.time_steps, self.seconds = state_dict["tokens"], state_dict["seconds"]
        self._clear()
        self._time_steps_at = state_dict.get("tokens_at", self._time_steps_at)
        self._sums = dict(state_dict.get("sums", {}))  # the first checkpoints have none
        for name in ("latest", "validated", "epochs"):
            setattr(self, name, state_dict.get(name, getattr(self, name)))
        if "train/tokens_per_second" in self.latest:  # the name in checkpoints of 0.1.0
            self.latest["train/time_steps_per_second"] = self.latest.pop("train/tokens_per_second")
        for name in ("windows", "updates", "rectangle", "seconds_at"):
            setattr(self, f"_{name}", state_dict.get(name, getattr(self, f"_{name}")))

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile):
                checkpoint["row"] = dict(logger.pending)
            else:
                logger.save()  # pending rows would be lost if the process were killed

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile):
                logger.restore(checkpoint.get("row", {}))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._clock, self._step = time.perf_counter(), trainer.global_step

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._pause()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.validated = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
        self._write(trainer, self.validated)
        self._clock = time.perf_counter()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._pause()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Task)
        assert isinstance(batch, SequenceBatch)
        rows, steps = batch.shape
        self.time_steps += batch.num_valid_steps * trainer.world_size
        self._rectangle += rows * steps * trainer.world_size
        self._windows += 1
        self.epochs = trainer.current_epoch + 1
        self._add("loss", outputs["loss"].detach())
        if trainer.global_step == self._step:  # still accumulating
            return
        self._step = trainer.global_step
        self._updates += 1
        if pl_module.clipping is not None:
            norm, clipped = pl_module.clipping
            self._add("gradient_norm", norm)
            self._add("clipped_share", clipped.float())
        if self._step % self.every == 0:
            self._log(trainer, pl_module)

    def _log(self, trainer: L.Trainer, task: Task) -> None:
        self._pause()
        values = torch.stack([total.float() for total in self._sums.values()]).tolist()
        means = {
            name: value / (self._windows if name == "loss" else self._updates)
            for name, value in zip(self._sums, values, strict=True)
        }
        metrics = {
            **means,
            **task.metrics_from_loss(means["loss"]),
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            **task.training_state_metrics(),
            "time_steps_per_second": (self.time_steps - self._time_steps_at) / (self.seconds - self._seconds_at),
        }
        if self._rectangle > self.time_steps - self._time_steps_at:
            metrics["padding"] = 1 - (self.time_steps - self._time_steps_at) / self._rectangle
        self.latest = {f"train/{name}": value for name, value in metrics.items()}
        self._write(trainer, self.latest)
        self._clear()
        self._clock = time.perf_counter()

    def _write(self, trainer: L.Trainer, metrics: dict[str, float]) -> None:
        for logger in trainer.loggers:
            logger.log_metrics(
                {**metrics, "epoch": trainer.current_epoch + 1, "seconds": self.seconds}, step=trainer.global_step
            )

    def _add(self, name: str, value: Tensor) -> None:
        self._sums[name] = self._sums[name].to(value.device) + value if name in self._sums else value

    def _pause(self) -> None:
        if self._clock is not None:
            self.seconds += time.perf_counter() - self._clock
            self._clock = None
