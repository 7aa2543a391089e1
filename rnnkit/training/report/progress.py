"""The progress bar of training."""

import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.progress import Task as BarTask
from rich.text import Text

from rnnkit.training.report.monitor import Monitor


class TimeLeft(ProgressColumn):
    """Hours, minutes and seconds left, estimated from the mean pace of this process."""

    def render(self, task: BarTask) -> Text:
        done = task.completed - task.fields["begun"]
        if not done or not task.total or task.elapsed is None:
            return Text("-:--:-- left")
        seconds = int(task.elapsed / done * (task.total - task.completed))
        return Text(f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left")


class TrainingProgress(ProgressBar):
    """A progress bar over the optimizer steps of the run with epoch, loss, time steps/s and time left, and one line for
    each validation.

    If the output is not a terminal, the bar is replaced by a line every half minute.
    """

    def __init__(self, monitor: Monitor) -> None:
        super().__init__()
        self.monitor = monitor
        self.console = Console(highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._enabled = True
        self._spoken = time.monotonic()

    def disable(self) -> None:
        self._enabled = False

    def enable(self) -> None:
        self._enabled = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._spoken = time.monotonic()
        if not self._enabled or not sys.stdout.isatty():
            return
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            TextColumn("step {task.completed}/{task.total}"),
            TextColumn("{task.fields[metrics]}"),
            TimeLeft(),
            console=self.console,
        )
        self._task = self._bar.add_task(
            "",
            total=self._total(trainer),
            completed=trainer.global_step,
            begun=trainer.global_step,
            epoch=1,
            metrics="",
        )
        self._bar.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.monitor.every:
            return
        if self._bar:
            self._bar.update(
                self._task, completed=trainer.global_step, epoch=trainer.current_epoch + 1, metrics=self._metrics()
            )
        elif self._enabled and time.monotonic() - self._spoken > 30:
            self._spoken = time.monotonic()
            self.console.print(f"step {trainer.global_step}/{self._total(trainer)}  {self._metrics()}")

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not self._enabled or trainer.sanity_checking:
            return
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
        text = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        self.console.print(f"epoch {trainer.current_epoch + 1}  step {trainer.global_step}  {text}")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _metrics(self) -> str:
        latest = self.monitor.latest
        if not latest:
            return ""
        return f"loss {latest['train/loss']:.4f}  {latest['train/time_steps_per_second']:,.0f} time steps/s"

    @staticmethod
    def _total(trainer: L.Trainer) -> int | None:
        steps = trainer.estimated_stepping_batches
        return None if steps == float("inf") else int(steps)
