"""The task of a configuration, with and without its optimizer."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from rnnkit.errors import UserError
from rnnkit.tasks import Task
from rnnkit.training.configuration.construct import construct, required


def build_task(config: DictConfig) -> Task:
    """Return the untrained task of a configuration that already has the sizes that depend on the data.

    It has no optimizer, schedule and clip, whose packages need not be installed.
    """
    # a user's class may require these three arguments
    lacking = [name for name in ("optimizer", "schedule", "clip") if name in required(config, "task")]
    task = construct(config, "task", model=construct(config, "model"), **dict.fromkeys(lacking))
    if not isinstance(task, Task):
        raise UserError("task._target_", "a task", config.task.get("_target_", "none"), fix="task=classification")
    return task


def build_trainable(config: DictConfig) -> Task:
    """Return the task of `build_task` with the optimizer, the schedule and the clip of the configuration."""
    optimizer, schedule, clip = (construct(config, key) for key in ("optimizer", "schedule", "clipping"))
    task = build_task(config)
    task.train_with(optimizer, schedule, clip)
    return task


def without_clipping(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights of a task without the clipping history."""
    return {name: value for name, value in state_dict.items() if not name.startswith("clip.")}
