"""The callback that measures a model while it is trained."""

import math
import sys
import time
from pathlib import Path
from typing import Any, Literal, cast

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from rnnkit.engines.policy import as_for_more_rows
from rnnkit.errors import UserError
from rnnkit.insight.alarms import changed
from rnnkit.insight.twin import shared_twin
from rnnkit.tasks import Task
from rnnkit.training.insight import act
from rnnkit.training.insight.board import flow_picture, layout, save, scalars
from rnnkit.training.insight.levels import LEVELS
from rnnkit.training.insight.measurement import Due, measure
from rnnkit.training.insight.subject import Subject, outermost_cells

FIRST = 20
"""The step of the first measurement."""
MOST_ROWS = 256
"""The number of measurements that are kept; then every other one is dropped."""
LEAST_OFTEN = 12_800
"""The largest number of steps between two measurements."""
LONG = 600.0
"""The seconds of training left from which the probes are compiled."""


class Insight(L.Callback):
    """Measures gradients through time, gates, memory and updates, and reports illnesses in words.

    It measures after optimizer step 20 and then every 100 steps (`light`) or 25 (`full`), on the first 4 or 8 rows of
    the batch, with a twin of the model that shares its weights: the weights of a run are the same, bit for bit, as
    without it. It measures half as often, again and again, until that takes at most 2 % (15 %) of the time. Scalars
    are in TensorBoard, under `insight/`, and everything is in `insight.json` in the run folder. Alarms are printed when
    they begin and when they end.

    Args:
        level: light or full.

    Raises:
        UserError: if the level is unknown.
    """

    def __init__(self, level: Literal["light", "full"] = "light") -> None:
        if level not in LEVELS:
            raise UserError("insight.level", "light or full", repr(level), fix="insight=light")
        self.level = LEVELS[level]
        self.every = self.level.every
        self.rows: list[dict[str, Any]] = []
        """The measurements so far."""
        self.sounding: dict[str, str] = {}
        """The alarms that hold, in words."""
        self._largest_lr = 0.0
        self._sums: list[Any] = [0, 0.0, 0.0]  # steps, loss, clipped steps since the last measurement
        self._subject: Subject | None = None
        self._hooks: list[Any] = []
        self._labels: list[str] = []
        self._is_off = False
        self._due: Any = None
        self._began = self._spent = 0.0
        self._acts = self._first_step = 0

    def state_dict(self) -> dict[str, Any]:
        sums = [float(value) for value in self._sums]
        return {"every": self.every, "rows": self.rows, "sounding": self.sounding, "lr": self._largest_lr, "sums": sums}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.every = state_dict["every"]
        self.rows, self.sounding = list(state_dict["rows"]), dict(state_dict["sounding"])
        self._largest_lr, self._sums = state_dict["lr"], list(state_dict["sums"])

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._is_off = self._is_off or not trainer.is_global_zero
        self._began, self._spent, self._acts = time.perf_counter(), 0.0, 0
        self._first_step = trainer.global_step
        self._subject = None
        self._cells = {
            name: part
            for name, part in outermost_cells(cast(nn.Module, pl_module.model)).items()
            if next(part.parameters(), None) is not None
        }

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step + 1
        self._due = None
        if not self._is_off and (step % self.every == 0 or step == FIRST):
            assert isinstance(pl_module, Task)
            self._due = Due(step, pl_module.carry.get("train"))

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        if self._due is not None:
            started = time.perf_counter()
            self._due.norms = act.gradient_norms(self._cells)
            self._due.weights = {name: [w.clone() for w in act.matrices(cell)] for name, cell in self._cells.items()}
            self._spent += time.perf_counter() - started

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._is_off:
            return
        assert isinstance(pl_module, Task)
        self._sums[0] += 1
        self._sums[1] = self._sums[1] + outputs["loss"].detach()
        if pl_module.clipping is not None:
            self._sums[2] = self._sums[2] + pl_module.clipping[1].float()
        if self._due is None or trainer.global_step != self._due.step:
            return
        started = time.perf_counter()
        try:
            self._act(trainer, pl_module, batch)
        except Exception as error:  # the training continues
            self._is_off = True
            print(f"insight is off: {type(error).__name__}: {error}. Try: ~insight", file=sys.stderr, flush=True)
        self._due = None
        cost = time.perf_counter() - started
        self._spent += cost
        self._acts += 1
        step_time = (time.perf_counter() - self._began - self._spent) / max(1, trainer.global_step - self._first_step)
        while cost > self.level.share * self.every * step_time and self.every < LEAST_OFTEN:
            self.every *= 2

    def _act(self, trainer: L.Trainer, task: Task, batch: Any) -> None:
        subject = self._measured(trainer, task)
        devices = [task.device] if task.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices),
            as_for_more_rows(0),
            trainer.precision_plugin.forward_context(),
        ):
            row = self._row(trainer, subject, batch)
        self.rows.append(_plain(row))
        if len(self.rows) > MOST_ROWS:
            self.rows = self.rows[::2]
        for board in _boards(trainer):
            if self._acts == 0:
                monitor = getattr(trainer.checkpoint_callback, "monitor", None) or "val/loss"
                board.experiment.add_custom_scalars(layout(self._labels, monitor))
            for tag, value in scalars(self.rows[-1]):
                if value is not None:
                    board.experiment.add_scalar(tag, value, trainer.global_step)
        self._report(trainer)

    def _row(self, trainer: L.Trainer, subject: Subject, batch: Any) -> dict[str, Any]:
        row, self._labels = measure(subject, batch, self._due, self.level, self._cells)
        lr = trainer.optimizers[0].param_groups[0]["lr"]
        self._largest_lr = max(self._largest_lr, lr)
        count, loss, clipped = (float(value) for value in self._sums)
        self._sums = [0, 0.0, 0.0]
        last = self.rows[-1] if self.rows else {}
        kept = {name: last.get(name) for name in ("context", "context_is_censored", "carry_gain")}
        return {
            **kept,
            **row,
            "loss": loss / count,
            "first_loss": self.rows[0]["loss"] if self.rows else None,
            "clipped_share": clipped / count,
            "lr": lr,
            "largest_lr": self._largest_lr,
            "share_of_time": self._spent / max(1e-9, time.perf_counter() - self._began),
        }

    def _measured(self, trainer: L.Trainer, task: Task) -> Subject:
        """Return what is measured; only in a long run is it worth compiling."""
        if self._subject is None or not self._subject.is_current(task.model):
            self._subject = Subject(task, shared_twin(task.model))
            self._subject.run_as_loops()
        elif self._subject.engine == "reference":
            left = trainer.estimated_stepping_batches - trainer.global_step
            done = max(1, trainer.global_step - self._first_step)
            if left >= 1000 and left / done * (time.perf_counter() - self._began) > LONG:
                self._subject.run_compiled()
        return self._subject

    def _report(self, trainer: L.Trainer) -> None:
        """Print the alarms that begin and end, and write those that hold to TensorBoard."""
        news, self.sounding = changed(self.rows, self.sounding, trainer.estimated_stepping_batches)
        for line in news:
            print(f"step {trainer.global_step}: {line}", file=sys.stderr, flush=True)
        for board in _boards(trainer) if news else ():
            text = "\n\n".join(self.sounding.values()) or "no alarm"
            board.experiment.add_text("insight/alarms", text, trainer.global_step)

    @rank_zero_only
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking or len(self.rows) < 2:
            return
        labels = {label for row in self.rows for label in row["layers"]}
        for label in sorted(labels):
            picture = flow_picture(self.rows, label)
            for board in _boards(trainer) if picture is not None else ():
                board.experiment.add_image(
                    f"insight/{label}/flow_by_lag_over_training", picture, trainer.global_step, dataformats="HWC"
                )
        self._write(trainer)

    @rank_zero_only
    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._write(trainer)
        self._subject = None

    def _write(self, trainer: L.Trainer) -> None:
        for board in _boards(trainer) if self.rows else ():
            save(Path(board.log_dir), {"alarms": list(self.sounding.values()), "rows": self.rows})


def _boards(trainer: L.Trainer) -> list[TensorBoardLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def _plain(value: Any) -> Any:
    """Return figures as JSON knows them: None for what is not finite."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
