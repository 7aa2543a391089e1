"""The settings of a run that belong to no class."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import lightning as L
from annotated_types import MinLen
from torch import nn

from rnnkit.ranges import NonNegativeInt, Positive, PositiveInt, Seed
from rnnkit.tasks import Task


@dataclass(kw_only=True)
class RunSettings:
    """The types of `configs/train.yaml`: the groups, each an object to build, and the settings of a run."""

    task: Task
    data: Any
    model: nn.Module
    optimizer: Callable[..., Any]
    trainer: L.Trainer
    schedule: Callable[..., Any] | None = None
    clipping: nn.Module | None = None
    averaging: L.Callback | None = None
    insight: L.Callback | None = None
    callbacks: Mapping[str, L.Callback | None]

    seed: Seed = 1
    deterministic: bool | Literal["warn"] = False
    run_dir: Annotated[str, MinLen(1)] = "runs/mine"
    monitor: Annotated[str, MinLen(1)] = "val/loss"
    monitor_mode: Literal["min", "max"] | None = None
    save_minutes: Positive = 10.0
    check_memory: bool = True
    max_nonfinite_steps: PositiveInt = 5
    on_nonfinite: Literal["rollback", "stop"] = "rollback"
    patience: NonNegativeInt | None = None
