"""The private names of Lightning that rnnkit uses. `UserError` names the releases that have them."""

from typing import TYPE_CHECKING, Any

from rnnkit.compat.lookup import reads

if TYPE_CHECKING:
    import lightning as L
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, WeightAveraging
    from torch.optim.swa_utils import AveragedModel

CURRENT_HOOK = "_current_fx_name"
"""The attribute of a module that holds its current hook. If a release has another name, training is only slower."""


@reads("lightning", "_TrainingEpochLoop._should_check_val_fx")
def is_validated_next(trainer: "L.Trainer") -> bool:
    """Whether a validation follows the training step that has just ended."""
    loop = trainer.fit_loop
    assert loop._data_fetcher is not None
    return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)


@reads("lightning", "_FitLoop.epoch_progress and _FitLoop.reset_restart_stage")
def begin_next_epoch(trainer: "L.Trainer") -> None:
    """Let the next epoch begin if the epoch of a resumed run is complete.

    Lightning would continue as if in the middle of an epoch that it counts as finished.
    """
    epochs = trainer.fit_loop.epoch_progress.total
    if epochs.completed == epochs.ready:
        trainer.fit_loop.reset_restart_stage()


@reads("lightning", "WeightAveraging._average_model")
def averaged_model(callback: "WeightAveraging") -> "AveragedModel | None":
    """Return the averaged weights of a callback; None before training."""
    return callback._average_model


@reads("lightning", "EarlyStopping._check_on_train_epoch_end")
def check_after_validation(callback: "EarlyStopping") -> None:
    """Make a callback check its metric after validations, unless its schedule is set."""
    if callback._check_on_train_epoch_end is None:
        callback._check_on_train_epoch_end = False


@reads("lightning", "ModelCheckpoint._save_on_train_epoch_end")
def save_after_validation(callback: "ModelCheckpoint") -> None:
    """Make a callback save after validations, unless its schedule is set."""
    if callback._save_on_train_epoch_end is None:
        callback._save_on_train_epoch_end = False


@reads("lightning", "Trainer._checkpoint_connector")
def checkpoint_connector(trainer: "L.Trainer") -> Any:
    """Return the object whose methods restore the parts of a checkpoint."""
    return trainer._checkpoint_connector


@reads("lightning", "_CheckpointConnector._get_loops_state_dict")
def loop_states(trainer: "L.Trainer") -> dict[str, Any]:
    """Return the states of the loops as a checkpoint of this trainer would hold them."""
    states: dict[str, Any] = trainer._checkpoint_connector._get_loops_state_dict()
    return states
