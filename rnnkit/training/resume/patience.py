"""The end of a run whose validations no longer get better."""

from typing import Any

import lightning as L
from lightning.pytorch import callbacks


class EarlyStopping(callbacks.EarlyStopping):
    """Lightning's, made exact: a run that is resumed ends where it would have ended.

    It looks after validations only: at the end of its first epoch a resumed run may have none to look at. A run that
    was killed after it had been told to end, and before it had, trains no further. And `patience` is that of the
    configuration, so that a resumed run can be given more, where Lightning takes the checkpoint's.
    """

    def __init__(self, monitor: str, mode: str, patience: int) -> None:
        # a monitor that is not finite is no better; whether the run goes back or stops is for NonFiniteGuard to decide
        super().__init__(monitor, mode=mode, patience=patience, check_finite=False, check_on_train_epoch_end=False)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "patience": self.patience})

    @property
    def is_over(self) -> bool:
        """Whether the validations so far were enough without a better one."""
        return self.wait_count >= max(1, self.patience)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.is_over:
            trainer.should_stop = True
