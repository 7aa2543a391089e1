"""One training run, from a configuration to a run folder."""

import platform
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import EarlyStopping as LightningEarlyStopping
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig, OmegaConf, open_dict

from rnnkit.compat.lightning import check_after_validation, save_after_validation
from rnnkit.errors import Problems, UserError
from rnnkit.tasks import Task
from rnnkit.training.checks.determinism import check_determinism, preserving_flags, sync_deterministic_flag
from rnnkit.training.checks.diverged import Diverged
from rnnkit.training.checks.foresight import check_batch_memory
from rnnkit.training.checks.nonfinite import NonFiniteGuard
from rnnkit.training.checks.preflight import check_kind, check_model, check_parts
from rnnkit.training.configuration.construct import construct
from rnnkit.training.configuration.monitored import MonitorIsMeasured, check_measured, settled_mode
from rnnkit.training.configuration.schema import check_configuration
from rnnkit.training.double import keep_double
from rnnkit.training.hooks import skip_empty_hooks
from rnnkit.training.memory import keep_freed_memory
from rnnkit.training.optim.schedules import StepPlateau
from rnnkit.training.report.loggers import MetricsFile, RunTensorBoardLogger
from rnnkit.training.report.monitor import Monitor
from rnnkit.training.report.profile import ProfileTable
from rnnkit.training.report.progress import TrainingProgress
from rnnkit.training.resume.checkpoints import FixEpochCounterOnResume, RunCheckpoint
from rnnkit.training.resume.patience import EarlyStopping
from rnnkit.training.resume.randomness import RandomState
from rnnkit.training.resume.restoring import check_parts_of, check_restorable, restoring
from rnnkit.training.resume.stopping import SaveAndStop, ValidateAtTheEnd, stopping_at_once
from rnnkit.training.resume.time_budget import TimeBudget
from rnnkit.training.run.fitting import check_fits
from rnnkit.training.run.folder import check_files, check_named_files
from rnnkit.training.run.lock import run_lock
from rnnkit.training.run.provenance import Provenance, check_resumed
from rnnkit.training.run.run import Run, build_trainable
from rnnkit.training.run.storage import AtomicCheckpointIO


def fit(config: DictConfig, folder: Path, *, resume: bool = False) -> dict[str, Any]:
    """Train the model that `config` describes, write a run to `folder`, and return the metrics of summary.json.

    Args:
        config: as composed from `configs/train.yaml`.
        folder: the run folder; new, unless `resume`.
        resume: resume from `checkpoints/last.ckpt`.

    Raises:
        UserError: if the configuration cannot run or the folder is in use; nothing is written then.
        Interrupted: if the run was stopped early, for example by SIGINT or SIGTERM, after writing last.ckpt.
    """
    check_files(folder, written=True)
    check_configuration(config)
    with open_dict(config):
        config.monitor_mode = settled_mode(config)
    with run_lock(folder, new=not resume), stopping_at_once(folder, new=not resume), preserving_flags():
        return _fit(config, Run(folder), resume)


def _fit(config: DictConfig, run: Run, resume: bool) -> dict[str, Any]:
    keep_freed_memory()
    L.seed_everything(config.seed, workers=True, verbose=False)
    resumed, resumed_step, summarized_step = None, None, None
    if resume:
        resumed, checkpoint = run.newest()
        check_parts_of(checkpoint, resumed)
        check_named_files(checkpoint, resumed)
        check_fits(lambda: build_trainable(config), checkpoint, resumed)
        resumed_step = checkpoint["global_step"]
        summarized_step = run.summarized_step()  # read now: another process may finish first
        _check_epochs(config.trainer.max_epochs, checkpoint["epoch"])
    monitor = Monitor(config.trainer.log_every_n_steps)
    problems = Problems()
    problems.attempt(sync_deterministic_flag, config)
    trainer = problems.attempt(_trainer, config, run, monitor, resumed_step)
    data = problems.attempt(_data, config)
    check_parts(config, problems)
    problems.raise_all()
    assert trainer is not None
    assert data is not None
    data.setup("fit")
    with open_dict(config):
        config.model.update(data.model_kwargs)
        config.task.update(data.task_kwargs)
    check_model(config)
    task = build_trainable(config)
    task.check_data(data)
    check_measured(config, task)
    check_batch_memory(config, trainer, task, data)
    check_determinism(config, trainer, task, data)
    if resumed is not None:
        check_resumed(checkpoint, resumed, data, task)
        check_restorable(checkpoint, resumed, config, trainer, task, data)
    if trainer.is_global_zero:
        run.start(config)
        data.save(run.folder)
        _describe(config, trainer, task, next(iter(data.train_dataloader())).inputs)
    try:
        with restoring(trainer, resumed) if resumed is not None else nullcontext():
            trainer.fit(task, datamodule=data, ckpt_path=resumed, weights_only=True)
    except MisconfigurationException as error:  # raised by Lightning during training
        got, fix = str(error), "rnnkit train --cfg job"
        raise UserError("trainer or callbacks", "settings that fit each other and the data", got, fix=fix) from error
    if trainer.global_step == resumed_step == summarized_step:
        raise UserError(
            "trainer",
            "something left to train",
            f"{monitor.epochs} epochs and {trainer.global_step} steps, all done before",
            fix=_more(trainer, monitor.epochs),
        )
    metrics = _metrics(trainer, task, monitor)
    if trainer.is_global_zero:
        run.summarize(metrics)
    diverged = next(one for one in trainer.callbacks if isinstance(one, Diverged))  # type: ignore[attr-defined]
    diverged.report(metrics[f"best_{config.monitor}"], config.optimizer.get("lr", 1.0))
    return metrics


def _check_epochs(most: int | None, begun: int) -> None:
    if most is not None and 0 <= most <= begun:
        raise UserError(
            "trainer.max_epochs",
            f"more than the {begun} epochs already trained",
            str(most),
            fix=f"trainer.max_epochs={begun + 10}",
        )


def _more(trainer: L.Trainer, epochs: int) -> str:
    """Return the override with which a finished run continues."""
    stopped = next((one for one in trainer.early_stopping_callbacks if isinstance(one, EarlyStopping)), None)
    if stopped is not None and stopped.is_over:
        return f"patience={stopped.wait_count + 10}"
    budget = next(one for one in trainer.callbacks if isinstance(one, TimeBudget))  # type: ignore[attr-defined]
    if budget.is_over:
        return f"trainer.max_time={budget.twice}"
    if trainer.global_step == trainer.max_steps:
        return f"trainer.max_steps={2 * trainer.max_steps}"
    return f"trainer.max_epochs={epochs + 10}"


def _data(config: DictConfig) -> Any:
    data = construct(config, "data")
    check_kind(config, data)
    return data


def _trainer(config: DictConfig, run: Run, monitor: Monitor, resumed_step: int | None) -> L.Trainer:
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
        raise UserError("callbacks", expected, str(error), fix="another monitor, mode or every_n_epochs") from error
    assert isinstance(trainer, L.Trainer)
    keep_double(trainer.precision_plugin)
    skip_empty_hooks(trainer.callbacks)  # type: ignore[attr-defined]
    if config.trainer.get("max_epochs") in (None, -1) and trainer.max_steps == -1:
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


def _describe(config: DictConfig, trainer: L.Trainer, task: Task, inputs: Any) -> None:
    """Print one line about the model, device and seed; log the hyperparameters and the graph to TensorBoard."""
    parameters = sum(p.numel() for p in task.parameters())
    device = trainer.strategy.root_device
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    print(f"{parameters:,} parameters on {device}{threads}, seed {config.seed}", flush=True)
    board = trainer.loggers[0]
    assert isinstance(board, RunTensorBoardLogger)
    board.describe(OmegaConf.to_container(config, resolve=True), [config.monitor])  # type: ignore[arg-type]
    if isinstance(inputs, torch.Tensor):
        board.draw(task.model, inputs[:1, :2])


def _metrics(trainer: L.Trainer, task: Task, monitor: Monitor) -> dict[str, Any]:
    best = next(one for one in trainer.checkpoint_callbacks if isinstance(one, RunCheckpoint))
    final = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return {
        **monitor.latest,
        **monitor.validated,
        **final,
        f"best_{best.monitor}": None if best.best_model_score is None else float(best.best_model_score),
        "epochs": monitor.epochs,
        "steps": trainer.global_step,
        "tokens": monitor.tokens,
        "seconds": round(monitor.seconds, 3),
        "tokens_per_second": round(monitor.tokens / monitor.seconds, 1),
        "parameters": sum(p.numel() for p in task.parameters()),
        "device": str(trainer.strategy.root_device),
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
