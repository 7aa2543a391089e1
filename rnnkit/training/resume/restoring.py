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
from torch import Tensor

from rnnkit.cells import state_leaves
from rnnkit.compat.lightning import checkpoint_connector, loop_states
from rnnkit.data import SequenceData, TextData
from rnnkit.data.corpus.windows import WindowPosition
from rnnkit.data.loading.batches import BatchPosition
from rnnkit.errors import UserError
from rnnkit.ranges import NonNegativeInt
from rnnkit.structure import check
from rnnkit.tasks import StreamTask, Task
from rnnkit.training.resume.callback_states import Number, check_callbacks
from rnnkit.training.resume.optimizer_states import check_training_state
from rnnkit.training.run.provenance import check_weights
from rnnkit.training.run.storage import BEFORE_LAST, LAST
from rnnkit.training.run.templates import check_alike, is_stored, same_kind

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
_STEPS = (
    ("epoch_loop.automatic_optimization.optim_progress", "optimizer", "step", "total", "completed"),
    ("epoch_loop.manual_optimization.optim_step_progress", "total", "completed"),
)

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
        _check_stored(checkpoint, "")
        _check_steps(checkpoint)
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
        _check_loops(checkpoint, trainer, data)
        check_callbacks(checkpoint["callbacks"], trainer, complete=checkpoint.get("rnnkit", {}).get("format", 1) > 1)
        is_whole = trainer.strategy.lightning_restore_optimizer  # as against one that is in pieces on several devices
        if is_whole and type(task).configure_optimizers is Task.configure_optimizers:
            check_training_state(checkpoint["optimizer_states"], checkpoint["lr_schedulers"], config, task.model)
        _check_position(checkpoint.get(type(data).__qualname__, {}), data)
        check(checkpoint.get("row", {}), dict[str, Real], "row")
        if isinstance(task, StreamTask):
            _check_carry(checkpoint.get("carry", []), task, data, trainer.world_size)
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


def _check_stored(value: Any, place: str) -> None:
    """Check that every tensor, at any depth, stores all its elements."""
    if isinstance(value, Tensor) and not is_stored(value):
        raise ValueError(f"{place} does not store all its elements")
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, part in parts:
        if isinstance(part, Tensor | Mapping | list | tuple):
            _check_stored(part, f"{place}.{name}".lstrip("."))


def _check_steps(checkpoint: Mapping[str, Any]) -> None:
    """Check that the number of steps is that of the loops, unless the task steps its optimizers itself."""
    counts: list[Any] = []
    for way in _STEPS:
        count: Any = checkpoint["loops"].get("fit_loop")
        for name in way:
            count = count.get(name) if isinstance(count, Mapping) else None
        counts.append(count)
    if checkpoint["global_step"] not in counts:
        raise ValueError(
            f"global_step is {checkpoint['global_step']} beside {counts[0]!r} steps of loops.fit_loop"[:200]
        )


def _check_loops(checkpoint: Mapping[str, Any], trainer: L.Trainer, data: Any) -> None:
    templates = loop_states(trainer)
    found = checkpoint["loops"]
    own = dict(found.get("fit_loop", {}))
    state = own.get("state_dict")
    if isinstance(state, Mapping):  # the state of the data loaders, which the run creates anew
        loaders = state.get("combined_loader", [])
        check(loaders, list[dict[str, Any]], "loops.fit_loop.state_dict.combined_loader")
        for loader in loaders:
            _check_position({"position": loader}, data)
        own["state_dict"] = {name: value for name, value in state.items() if name != "combined_loader"}
    check_alike({**found, "fit_loop": own}, templates, "loops")


def _check_position(state: Any, data: Any) -> None:
    place = type(data).__qualname__
    if isinstance(data, TextData | SequenceData) and state != {}:
        kind = WindowPosition if isinstance(data, TextData) else BatchPosition
        check(state, dict[str, Any], place)
        check(state.get("position"), kind, f"{place}.position")


def _check_carry(leaves: Any, task: StreamTask, data: Any, processes: int) -> None:
    """Check that there is a state for each lane of each process, or none yet."""
    check(leaves, list[Tensor], "carry")
    expected = state_leaves(task.model.initial_state(1))
    if leaves and len(leaves) != len(expected):
        raise ValueError(f"carry has {len(leaves)} parts instead of {len(expected)}")
    for index, (leaf, one) in enumerate(zip(leaves, expected, strict=False)):
        lanes = data.lanes // processes if isinstance(data, TextData) else leaf.shape[1] if leaf.dim() > 1 else 0
        shape = (processes, lanes, *one.shape[1:])
        if tuple(leaf.shape) != shape or not same_kind(leaf, one):
            raise ValueError(f"carry[{index}] is {tuple(leaf.shape)} {leaf.dtype} instead of {shape} {one.dtype}")
