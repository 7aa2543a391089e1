"""Where scalars go: the TensorBoard event file and metrics.csv, both in the run folder."""

import contextlib
import csv
import warnings
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import nn
from torch.utils.tensorboard.summary import hparams


class RunTensorBoardLogger(TensorBoardLogger):
    """TensorBoard events straight in the run folder. A resumed run hides what was logged after its checkpoint."""

    def __init__(self, folder: Path, resumed_step: int | None = None) -> None:
        later = None if resumed_step is None else resumed_step + 1
        super().__init__(str(folder), name="", version="", default_hp_metric=False, purge_step=later)

    @rank_zero_only
    def describe(self, config: dict[str, Any], metrics: Iterable[str]) -> None:
        """Enters the run in TensorBoard's table of hyper-parameters, with the last value of each of `metrics`."""
        flat = {name: value for name, value in _flat(config) if isinstance(value, str | int | float | bool)}
        for part in hparams(flat, dict.fromkeys(metrics, 0.0)):
            self.experiment.file_writer.add_summary(part)

    @rank_zero_only
    def draw(self, model: nn.Module, inputs: Any) -> None:
        """Draws the graph of a model that can be traced; says nothing of one that cannot."""
        model.eval()  # with dropout, two traces of the same inputs would differ and be refused
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("ignore")
            self.experiment.add_graph(model, inputs)
        model.train()

    def save(self) -> None:
        """Writes what is pending; the configuration is in config.yaml already, so no second copy of it."""
        self.experiment.flush()


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


class MetricsFile(Logger):
    """metrics.csv: one row for each step at which something was logged, one column for each figure.

    A figure that is first logged late widens the file. A resumed run drops the rows after its checkpoint.

    `pending` is the row of the current step, which is written once another step begins. It belongs into a checkpoint:
    what comes after it at the same step, the process may not live to see.
    """

    def __init__(self, path: Path, resumed_step: int | None = None) -> None:
        super().__init__()
        self.path = path
        self._columns: list[str] = []
        self.pending: dict[str, Any] = {}
        if resumed_step is not None and path.exists():
            # a process that was killed may have left the beginning of a row
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
        # what is logged at one step, by several callers, becomes one row
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
        """Goes on with a row that a checkpoint holds; what the file has of that step is dropped."""
        if self.path.exists():
            with self.path.open(newline="") as file:
                rows = list(csv.DictReader(file))
            if rows and pending and rows[-1]["step"] == str(pending["step"]):
                self._rewrite(rows[:-1])
        self.pending = dict(pending)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()

    @rank_zero_only  # what another process would rename away could be this one's
    def _rewrite(self, rows: list[dict[str, Any]]) -> None:
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(self.path)
