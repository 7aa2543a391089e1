"""Detection of training that has diverged with finite losses."""

import math
from typing import Any

import lightning as L
from torch import Tensor

from rnnkit.errors import UserError
from rnnkit.notices import notice
from rnnkit.tasks import Task

FACTOR = 1000
"""A mean loss above this multiple of the first loss counts as diverged."""


class Diverged(L.Callback):
    """Checks at every validation whether the training has diverged, and reports it at the end.

    Training has not diverged if the mean loss since the last validation is below `FACTOR` times the first loss, and
    the validation loss is finite.

    Args:
        monitor: the metric that chooses best.ckpt.
    """

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor
        self.first: float | None = None
        self.is_well = True
        """Whether the training had not diverged at the last validation."""
        self.was_well = False
        """Whether the training had not diverged at some validation."""
        self.was_measured = False
        """Whether the monitor was finite at some validation."""
        self._begun: Tensor | None = None
        self._sum: Tensor | None = None
        self._steps = 0
        self._mean = 0.0

    def state_dict(self) -> dict[str, Any]:
        self._settle()
        return {name: getattr(self, name) for name in ("first", "is_well", "was_well", "was_measured")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        first = state_dict["first"]
        self.first = None if first is None else float(first)
        self.is_well, self.was_well, self.was_measured = (
            bool(state_dict[name]) for name in ("is_well", "was_well", "was_measured")
        )

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Task)
        if not pl_module.skipped_nonfinite:
            loss = outputs["loss"].detach()
            self._sum = loss if self._sum is None else self._sum + loss
            self._steps += 1
            if self.first is None and self._begun is None:
                self._begun = loss

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._settle()
        validated = float(trainer.callback_metrics.get("val/loss", 0.0))
        if self._sum is not None:
            self._mean, self._sum, self._steps = float(self._sum) / self._steps, None, 0
        self.is_well = math.isfinite(validated) and (self.first is None or self._mean < FACTOR * (1 + abs(self.first)))
        self.was_well = self.was_well or self.is_well
        measured = float(trainer.callback_metrics.get(self.monitor, 0.0))
        self.was_measured = self.was_measured or math.isfinite(measured)

    def report(self, best: float | None, rate: float) -> None:
        """Print a warning if the training diverged or the monitor was never finite.

        Raises:
            UserError: if the training had diverged at every validation.
        """
        if best is None:  # nothing was validated
            return
        if not self.was_well:
            first = "none" if self.first is None else f"{self.first:.4g}"
            raise UserError(
                "training",
                f"finite numbers, near the first loss or below it ({first})",
                f"a mean loss of {self._mean:.4g} and a best {self.monitor} of {best:.4g}: the training has diverged, "
                "and its checkpoints are not usable",
                fix=f"optimizer.lr={min(rate / 10, 0.1):.3g}",
            )
        if not self.is_well:
            notice("Training diverged near its end. Use best.ckpt; last.ckpt is not usable.")
        if not self.was_measured:
            notice(f"{self.monitor} was never finite, so best.ckpt was not selected by it.")

    def _settle(self) -> None:
        if self.first is None and self._begun is not None:
            self.first = float(self._begun)
