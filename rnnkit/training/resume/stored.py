"""Checks of the parts of a checkpoint against those that a run would write itself."""

from collections.abc import Mapping
from typing import Any

import lightning as L
from torch import Tensor

from rnnkit.cells import state_leaves
from rnnkit.compat.lightning import loop_states
from rnnkit.data import SequenceData, TextData
from rnnkit.data.corpus.windows import WindowPosition
from rnnkit.data.loading.batches import BatchPosition
from rnnkit.structure import check
from rnnkit.tasks import StreamTask
from rnnkit.training.run.templates import check_alike, is_stored, same_kind

_STEPS = (
    ("epoch_loop.automatic_optimization.optim_progress", "optimizer", "step", "total", "completed"),
    ("epoch_loop.manual_optimization.optim_step_progress", "total", "completed"),
)


def check_stored(value: Any, place: str) -> None:
    """Check that every tensor, at any depth, stores all its elements."""
    if isinstance(value, Tensor) and not is_stored(value):
        raise ValueError(f"{place} does not store all its elements")
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, part in parts:
        if isinstance(part, Tensor | Mapping | list | tuple):
            check_stored(part, f"{place}.{name}".lstrip("."))


def check_steps(checkpoint: Mapping[str, Any]) -> None:
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


def check_loops(checkpoint: Mapping[str, Any], trainer: L.Trainer, data: Any) -> None:
    """Check the counters of the loops of Lightning."""
    templates = loop_states(trainer)
    found = checkpoint["loops"]
    own = dict(found.get("fit_loop", {}))
    state = own.get("state_dict")
    if isinstance(state, Mapping):  # the state of the data loaders, which the run creates anew
        loaders = state.get("combined_loader", [])
        check(loaders, list[dict[str, Any]], "loops.fit_loop.state_dict.combined_loader")
        for loader in loaders:
            check_position({"position": loader}, data)
        own["state_dict"] = {name: value for name, value in state.items() if name != "combined_loader"}
    check_alike({**found, "fit_loop": own}, templates, "loops")


def check_position(state: Any, data: Any) -> None:
    """Check the position in the data."""
    place = type(data).__qualname__
    if isinstance(data, TextData | SequenceData) and state != {}:
        kind = WindowPosition if isinstance(data, TextData) else BatchPosition
        check(state, dict[str, Any], place)
        check(state.get("position"), kind, f"{place}.position")


def check_carry(leaves: Any, task: StreamTask, data: Any, processes: int) -> None:
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
