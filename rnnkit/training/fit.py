"""One training run, from a configuration to a run folder."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, open_dict

from rnnkit.errors import Problems, UserError
from rnnkit.training.allocator import keep_freed_memory
from rnnkit.training.checks.determinism import check_determinism, preserving_flags, sync_deterministic_flag
from rnnkit.training.checks.diverged import Diverged
from rnnkit.training.checks.memory import check_batch_memory
from rnnkit.training.checks.preflight import check_kind, check_model, check_parts
from rnnkit.training.configuration.construct import construct
from rnnkit.training.configuration.following import follow
from rnnkit.training.configuration.monitored import check_measured, settled_mode
from rnnkit.training.configuration.schema import check_configuration
from rnnkit.training.report.monitor import Monitor
from rnnkit.training.resume.patience import EarlyStopping
from rnnkit.training.resume.restoring import check_parts_of, check_restorable, restoring
from rnnkit.training.resume.stopping import stopping_at_once
from rnnkit.training.resume.time_budget import TimeBudget
from rnnkit.training.run.build import build_trainable
from rnnkit.training.run.folder import check_files, check_named_files
from rnnkit.training.run.lock import run_lock
from rnnkit.training.run.model_size import check_fits
from rnnkit.training.run.provenance import check_resumed
from rnnkit.training.run.run import Run
from rnnkit.training.summary import describe, summary
from rnnkit.training.trainer import build_trainer


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
    trainer = problems.attempt(build_trainer, config, run, monitor, resumed_step)
    data = problems.attempt(_data, config)
    check_parts(config, problems)
    problems.raise_all()
    assert trainer is not None
    assert data is not None
    data.setup("fit")
    follow(config, data)
    trainer.fit_loop.max_epochs = config.trainer.max_epochs
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
        describe(config, trainer, task, next(iter(data.train_dataloader())).inputs)
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
    metrics = summary(trainer, task, monitor)
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
