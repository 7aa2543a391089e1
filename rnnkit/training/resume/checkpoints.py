"""The checkpoints of a run folder."""

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint

from rnnkit.compat.lightning import begin_next_epoch


class FixEpochCounterOnResume(L.Callback):
    """Fixes the epoch count of a run that is resumed from the last batch of an epoch.

    Lightning then counts the epoch as finished but continues as if in its middle: the next epoch is not counted as
    begun, and a second resume would start it from its first batch.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        begin_next_epoch(trainer)


class RunCheckpoint(ModelCheckpoint):
    """One checkpoint file, rewritten after each validation; with a `monitor`, after each one that is the best so far.

    After a validation, a checkpoint can be resumed exactly. At the end of an epoch, Lightning's counters are between
    two states, and a run resumed from there can lose an epoch.
    """

    def __init__(self, path: Path, monitor: str | None = None, mode: str = "min") -> None:
        super().__init__(
            path.parent,
            filename=path.stem,
            monitor=monitor,
            mode=mode,
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best value so far, also if the run folder has been moved or copied."""
        own = Path(str(self.dirpath)) / f"{self.filename}.ckpt"

        def here(path: str) -> str:
            # Lightning deletes the file named here when there is a better one: it must be this file
            return str(own) if path else path

        moved = {name: here(state_dict[name]) for name in state_dict if name.endswith("_model_path")}
        models = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": models, "dirpath": self.dirpath})
