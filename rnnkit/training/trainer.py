"""The Lightning trainer of a run, with its callbacks and loggers."""

from pathlib import Path
from typing import Any

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import EarlyStopping as LightningEarlyStopping
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig

from rnnkit.compat.lightning import check_after_validation, save_after_validation
from rnnkit.errors import UserError
from rnnkit.training.checks.diverged import Diverged
from rnnkit.training.checks.nonfinite import NonFiniteGuard
from rnnkit.training.configuration.construct import construct
from rnnkit.training.configuration.monitored import MonitorIsMeasured
from rnnkit.training.empty_hooks import skip_empty_hooks
from rnnkit.training.float64_batches import keep_double
from rnnkit.training.optim.schedules import StepPlateau
from rnnkit.training.report.loggers import MetricsFile, RunTensorBoardLogger
from rnnkit.training.report.monitor import Monitor
from rnnkit.training.report.profile import ProfileTable
from rnnkit.training.report.progress import TrainingProgress
from rnnkit.training.resume.checkpoints import FixEpochCounterOnResume, RunCheckpoint
from rnnkit.training.resume.patience import EarlyStopping
from rnnkit.training.resume.randomness import RandomState
from rnnkit.training.resume.stopping import SaveAndStop, ValidateAtTheEnd
from rnnkit.training.resume.time_budget import TimeBudget
from rnnkit.training.run.provenance import Provenance
from rnnkit.training.run.run import Run
from rnnkit.training.run.storage import AtomicCheckpointIO


def build_trainer(config: DictConfig, run: Run, monitor: Monitor, resumed_step: int | None) -> L.Trainer:
    """Return the trainer that a configuration describes.

    Raises:
        UserError: if this machine cannot run it, its callbacks conflict, or it has no end.
    """
    try:
        trainer = construct(
            config,
            "trainer",
            callbacks=_callbacks(config, run, monitor),
            logger=[RunTensorBoardLogger(run.folder, resumed_step), MetricsFile(run.metrics_file, resumed_step)],
            num_sanity_val_steps=0,
            enable_model_summary=False,
            use_distributed_sampler=False,
            plugins=[AtomicCheckpointIO()],
            max_time=None,  # TimeBudget handles it
        )
    except (MisconfigurationException, ImportError) as error:  # a device or a package that is not there
        fix = "trainer=cpu trainer.devices=1 trainer.strategy=auto trainer.precision=32-true"
        raise UserError("trainer", "settings that this machine can run", str(error), fix=fix) from error
    except RuntimeError as error:  # two callbacks whose states have the same name
        expected = "callbacks of one class that differ in their monitor or interval"
        raise UserError(
            "callbacks", expected, str(error), fix="+callbacks.NAME.every_n_epochs=2, or another monitor or mode"
        ) from error
    assert isinstance(trainer, L.Trainer)
    keep_double(trainer.precision_plugin)
    skip_empty_hooks(trainer.callbacks)  # type: ignore[attr-defined]
    if config.trainer.get("max_epochs") == -1 and trainer.max_steps == -1:
        raise UserError(
            "trainer.max_epochs",
            "a number of epochs or steps, over which the learning rate follows its schedule",
            "neither",
            fix="trainer.max_epochs=10, beside trainer.max_time if time is short",
        )
    return trainer


def _callbacks(config: DictConfig, run: Run, monitor: Monitor) -> list[L.Callback]:
    callbacks = [
        monitor,
        MonitorIsMeasured(config.monitor),
        RandomState(),
        FixEpochCounterOnResume(),
        Provenance(run.folder),
        StepPlateau(),
        ValidateAtTheEnd(),
        TimeBudget(config.trainer.get("max_time")),
        NonFiniteGuard(run.folder, config.get("max_nonfinite_steps", 5), config.get("on_nonfinite", "rollback")),
        Diverged(config.monitor),
        *(_named_callback(config, run, name) for name in config.callbacks),
        construct(config, "averaging"),
        construct(config, "insight"),
        RunCheckpoint(run.checkpoint_file("best"), config.monitor, config.monitor_mode),
        RunCheckpoint(run.checkpoint_file("last")),
        # Lightning calls these three last, in this order
        SaveAndStop(run.checkpoint_file("last"), config.get("save_minutes", 10)),
    ]
    if config.patience is not None:
        callbacks.append(EarlyStopping(config.monitor, config.monitor_mode, config.patience))
    if config.trainer.get("profiler") is not None:
        callbacks.append(ProfileTable())
    if config.trainer.enable_progress_bar:
        callbacks.append(TrainingProgress(monitor))
    return [callback for callback in callbacks if callback is not None]


def _named_callback(config: DictConfig, run: Run, name: str) -> Any:
    """Return a callback of the configuration; a checkpoint callback without a folder gets one beside the run's."""
    callback = construct(config.callbacks, name)
    if isinstance(callback, LightningEarlyStopping):
        check_after_validation(callback)  # a run resumed at the end of an epoch has no metrics yet
    if isinstance(callback, ModelCheckpoint):
        ours = run.checkpoint_file("best").parent
        if callback.monitor is not None:
            save_after_validation(callback)  # as above
        if callback.dirpath is None:
            callback.dirpath = str(ours / name)
        elif Path(callback.dirpath).resolve() == ours.resolve():
            fix = f"callbacks.{name}.dirpath={ours / name}"
            raise UserError(f"callbacks.{name}.dirpath", "a folder apart from the run's own", str(ours), fix=fix)
    return callback
