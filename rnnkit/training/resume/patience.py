"""Early stopping that resumes exactly."""

from typing import Any

import lightning as L
from lightning.pytorch import callbacks


class EarlyStopping(callbacks.EarlyStopping):
    """Lightning's early stopping, changed so that a resumed run ends where it would have ended.

    It checks after validations only, because at the end of its first epoch a resumed run may have no metrics. A run
    that was killed between the decision to stop and the stop trains no further. `patience` is that of the
    configuration, so that a resumed run can have a larger one; Lightning restores it from the checkpoint.
    """

    def __init__(self, monitor: str, mode: str, patience: int) -> None:
        # a non-finite monitor is not an improvement; NonFiniteGuard decides about rollback and stop
        super().__init__(monitor, mode=mode, patience=patience, check_finite=False, check_on_train_epoch_end=False)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "patience": self.patience})

    @property
    def is_over(self) -> bool:
        """Whether the validations so far are enough to stop."""
        return self.wait_count >= max(1, self.patience)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.is_over:
            trainer.should_stop = True
