"""Validation of checkpoints before they are restored: an error names the part that the run would not have written.

Types, keys, shapes and ranges are checked; the values of numbers of the right kind are trusted.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from numbers import Real
from pathlib import Path
from typing import Any, TypedDict

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import WeightAveraging
from omegaconf import DictConfig
from packaging.version import InvalidVersion, Version

from rnnkit.compat.lightning import checkpoint_connector
from rnnkit.errors import UserError
from rnnkit.ranges import NonNegativeInt
from rnnkit.structure import check
from rnnkit.tasks import StreamTask, Task
from rnnkit.training.resume.callback_states import Number, check_callbacks
from rnnkit.training.resume.optimizer_states import check_training_state
from rnnkit.training.resume.stored import check_carry, check_loops, check_position, check_steps, check_stored
from rnnkit.training.run.provenance import check_weights
from rnnkit.training.run.storage import BEFORE_LAST, LAST

OLDEST = Version("2.0")
"""The oldest version of Lightning whose checkpoints can be resumed."""
RESTORED = {
    "resume_start": "content",
    "restore_model": "weights",
    "restore_datamodule": "position in the data",
    "restore_callbacks": "callbacks",
    "restore_precision_plugin_state": "precision",
    "restore_loops": "loops",
    "restore_optimizers": "optimizer_states",
    "restore_lr_schedulers": "lr_schedulers",
}
"""The methods with which Lightning restores a checkpoint, and the part that each restores."""

Parts = TypedDict(
    "Parts",
    {
        "epoch": NonNegativeInt,
        "global_step": NonNegativeInt,
        "pytorch-lightning_version": str,
        "loops": dict[str, dict[str, Any]],
        "callbacks": dict[str, dict[str, Any]],
        "optimizer_states": list[dict[str, Any]],
        "lr_schedulers": list[dict[str, Any]],
    },
)
"""The parts of every checkpoint, besides its weights."""


class _Average(TypedDict):
    n_averaged: Number


def check_parts_of(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Raise UserError if the parts of a checkpoint are missing, or tensors do not store all their elements."""
    with _named(path):
        check({name: checkpoint[name] for name in Parts.__annotations__ if name in checkpoint}, Parts)
        check_stored(checkpoint, "")
        check_steps(checkpoint)
        try:
            is_known = Version(checkpoint["pytorch-lightning_version"]) >= OLDEST
        except InvalidVersion:
            is_known = False
        if not is_known:
            raise ValueError(f"pytorch-lightning_version is not {OLDEST} or later")


def check_restorable(
    checkpoint: Mapping[str, Any], path: Path, config: DictConfig, trainer: L.Trainer, task: Task, data: Any
) -> None:
    """Raise UserError, naming the file and the part, if this run would not have written the checkpoint."""
    with _named(path):
        check_loops(checkpoint, trainer, data)
        check_callbacks(checkpoint["callbacks"], trainer, complete=checkpoint.get("rnnkit", {}).get("format", 1) > 1)
        is_whole = trainer.strategy.lightning_restore_optimizer  # as against one that is in pieces on several devices
        if is_whole and type(task).configure_optimizers is Task.configure_optimizers:
            check_training_state(checkpoint["optimizer_states"], checkpoint["lr_schedulers"], config, task.model)
        check_position(checkpoint.get(type(data).__qualname__, {}), data)
        check(checkpoint.get("row", {}), dict[str, Real], "row")
        if isinstance(task, StreamTask):
            check_carry(checkpoint.get("carry", []), task, data, trainer.world_size)
    if any(isinstance(callback, WeightAveraging) for callback in trainer.callbacks):  # type: ignore[attr-defined]
        with _named(path):
            check(checkpoint.get("averaging_state"), _Average, "averaging_state")
            check(checkpoint.get("current_model_state"), dict[str, Any], "current_model_state")
        check_weights(task.state_dict(), {"state_dict": checkpoint["current_model_state"]}, path)


@contextmanager
def restoring(trainer: L.Trainer, path: Path) -> Iterator[None]:
    """Turn exceptions while Lightning restores a checkpoint into a UserError that names the file and the part."""
    connector = checkpoint_connector(trainer)
    for method, part in RESTORED.items():
        setattr(connector, method, _guarded(getattr(connector, method), part, path))
    try:
        yield
    finally:
        for method in RESTORED:
            delattr(connector, method)


def _guarded(method: Callable[..., Any], part: str, path: Path) -> Callable[..., Any]:
    @wraps(method)
    def guarded(*arguments: Any, **options: Any) -> Any:
        try:
            return method(*arguments, **options)
        except (UserError, MisconfigurationException):
            raise
        except Exception as error:
            raise _refusal(path, f"{part} cannot be restored: {type(error).__name__}: {error}") from error

    return guarded


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except ValueError as error:
        raise _refusal(path, str(error)) from error


def _refusal(path: Path, fault: str) -> UserError:
    before = path.with_stem(BEFORE_LAST)
    fix = f"cp '{before}' '{path}'" if path.stem == LAST and before.exists() else "another run folder"
    return UserError("run", "a checkpoint written by the run itself", f"'{path}', where {fault}", fix=fix)
