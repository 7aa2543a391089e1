"""Loggers of scalars: the TensorBoard event file and metrics.csv, both in the run folder."""

import contextlib
import csv
import warnings
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import nn
from torch.utils.tensorboard.summary import hparams


class RunTensorBoardLogger(TensorBoardLogger):
    """TensorBoard events directly in the run folder. A resumed run hides events after its checkpoint."""

    def __init__(self, folder: Path, resumed_step: int | None = None) -> None:
        later = None if resumed_step is None else resumed_step + 1
        super().__init__(str(folder), name="", version="", default_hp_metric=False, purge_step=later)

    @rank_zero_only
    def describe(self, config: dict[str, Any], metrics: Iterable[str]) -> None:
        """Log the hyperparameters of the run, with the last value of each of `metrics`."""
        flat = {name: value for name, value in _flat(config) if isinstance(value, str | int | float | bool)}
        for part in hparams(flat, dict.fromkeys(metrics, 0.0)):
            self.experiment.file_writer.add_summary(part)

    @rank_zero_only
    def draw(self, model: nn.Module, inputs: Any) -> None:
        """Log the graph of the model if the model can be traced."""
        model.eval()  # with dropout, two traces of the same inputs would differ and be rejected
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("ignore")
            self.experiment.add_graph(model, inputs)
        model.train()

    def save(self) -> None:
        """Flush pending events. The configuration is in config.yaml already and is not saved again."""
        self.experiment.flush()


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


class MetricsFile(Logger):
    """metrics.csv: one row for each step at which something was logged, one column for each metric.

    A metric that is first logged later adds a column. A resumed run drops the rows after its checkpoint. `pending` is
    the row of the current step; it is written when the next step begins. It belongs into a checkpoint, because more
    metrics of the same step may follow, and the process may be killed before they are written.
    """

    def __init__(self, path: Path, resumed_step: int | None = None) -> None:
        super().__init__()
        self.path = path
        self._columns: list[str] = []
        self.pending: dict[str, Any] = {}
        if resumed_step is not None and path.exists():
            # a killed process may have left an incomplete row
            whole, _, _ = path.read_text().rpartition("\n")
            rows = [row for row in csv.DictReader(whole.splitlines()) if int(row["step"]) <= resumed_step]
            if rows:
                self._columns = list(rows[0])
                self._rewrite(rows)

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        pass

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        # the metrics of one step, logged by several callers, form one row
        if self.pending.get("step") != step:
            self.save()
        self.pending.update(metrics, step=step)

    @rank_zero_only
    def save(self) -> None:
        if not self.pending:
            return
        new = [name for name in ("step", "epoch", *self.pending) if name not in self._columns]
        if new:
            rows: list[dict[str, Any]] = []
            if self._columns:
                with self.path.open(newline="") as file:
                    rows = list(csv.DictReader(file))
            self._columns += dict.fromkeys(new)
            self._rewrite(rows)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns).writerow(self.pending)
        self.pending = {}

    def restore(self, pending: dict[str, Any]) -> None:
        """Continue a row from a checkpoint; drop what the file has for that step."""
        if self.path.exists():
            with self.path.open(newline="") as file:
                rows = list(csv.DictReader(file))
            if rows and pending and rows[-1]["step"] == str(pending["step"]):
                self._rewrite(rows[:-1])
        self.pending = dict(pending)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()

    @rank_zero_only  # another process could rename the file away
    def _rewrite(self, rows: list[dict[str, Any]]) -> None:
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(self.path)


def boards(trainer: L.Trainer) -> list[TensorBoardLogger]:
    """Return the TensorBoard loggers of a trainer."""
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def log_text(trainer: L.Trainer, name: str, text: str) -> None:
    """Log a text to TensorBoard as a Markdown code block, which keeps spaces."""
    indented = "\n".join("    " + line for line in text.splitlines())
    for board in boards(trainer):
        board.experiment.add_text(name, indented, trainer.global_step)
