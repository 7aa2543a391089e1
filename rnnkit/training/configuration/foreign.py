"""Annotations of classes that are not ours, more exact than their own: ranges that are checked late there, or never."""

import inspect
import re
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import lightning as L
import torch
from annotated_types import Interval, MinLen, Predicate, doc

from rnnkit.ranges import Fraction, NonNegative, NonNegativeInt, PositiveInt

Share = Annotated[float, Interval(gt=0, le=1)]
Unlimited = Literal[-1]


def is_time(text: str) -> bool:
    """Whether a text is a time above 0, as Lightning writes times.

    >>> is_time("00:01:30:00"), is_time("90"), is_time("00:00:00:00")
    (True, False, False)
    """
    parts = re.fullmatch(r"(\d+):(\d\d):(\d\d):(\d\d)", text.strip())
    return parts is not None and any(int(part) for part in parts.groups())


def has_time(units: Mapping[str, float]) -> bool:
    """Whether numbers of days, hours, minutes or seconds add up to some time."""
    return sum(units.values()) > 0


def is_devices(text: str) -> bool:
    """Whether a text names devices as Lightning reads it: a number, or several with commas between."""
    return re.fullmatch(r"-1|[1-9]\d*|\d+(,\d+)*,?", text.replace(" ", "")) is not None and text.strip() != "0"


def is_strategy(name: str) -> bool:
    """Whether Lightning knows a strategy by this name."""
    from lightning.pytorch.strategies import StrategyRegistry

    return name == "auto" or name in StrategyRegistry.available_strategies()


Devices = Annotated[str, Predicate(is_devices), doc("numbers of devices as '0,1'")]
Unit = Literal["weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds"]
Units = Annotated[Mapping[Unit, NonNegative], Predicate(has_time), doc("a mapping such as {hours: 8}")]


class _Trainer:
    """Of `lightning.Trainer`; defaults are proposed where a value does not fit."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = "auto"
    devices: PositiveInt | Unlimited | Literal["auto"] | Devices | Annotated[list[NonNegativeInt], MinLen(1)] = "auto"
    num_nodes: PositiveInt = 1
    strategy: Annotated[str, Predicate(is_strategy), doc("a strategy of Lightning's")] = "auto"
    max_epochs: PositiveInt | Unlimited | None = 10
    min_epochs: NonNegativeInt | None = None
    max_steps: PositiveInt | Unlimited = -1
    min_steps: NonNegativeInt | None = None
    limit_train_batches: PositiveInt | Share | None = None
    limit_val_batches: NonNegativeInt | Share | None = None
    val_check_interval: PositiveInt | Share | None = 1.0
    check_val_every_n_epoch: PositiveInt | None = 1
    log_every_n_steps: PositiveInt = 20
    accumulate_grad_batches: PositiveInt = 1
    max_time: Annotated[str, Predicate(is_time), doc("a time as DD:HH:MM:SS")] | Units | None = None
    deterministic: bool | Literal["warn"] = False
    enable_progress_bar: bool = True
    profiler: Literal["simple", "advanced", "pytorch"] | None = None


class _Optimizer:
    """Of everything in torch.optim that has an argument of the name."""

    lr: NonNegative = 1e-3
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: NonNegative | tuple[NonNegative | None, NonNegative] = 1e-8
    weight_decay: NonNegative = 0.0
    momentum: Fraction = 0.0
    dampening: float = 0.0
    alpha: Fraction = 0.99
    rho: Fraction = 0.9
    lr_decay: NonNegative = 0.0
    nesterov: bool = False


SET_BY_A_RUN = {
    "callbacks": "+callbacks.mine._target_=my_lab.MyCallback",
    "logger": "rnnkit board, which shows what every run logs",
    "plugins": "trainer.precision or trainer.strategy",
    "default_root_dir": "run_dir=runs/mine",
    "enable_checkpointing": "save_minutes=10",
    "enable_model_summary": "rnnkit explain",
    "num_sanity_val_steps": "trainer=smoke, in a run of its own",
    "use_distributed_sampler": "trainer=ddp, which divides the data",
    "reload_dataloaders_every_n_epochs": "data of your own",
    "barebones": "trainer.enable_progress_bar=false",
    "fast_dev_run": "trainer=smoke",
    "gradient_clip_val": "clipping.max_norm=1.0",
    "gradient_clip_algorithm": "clipping=value",
}
"""Arguments of a Trainer that a run decides itself, and what to set instead."""


def foreign_annotations(target: Any) -> dict[str, tuple[Any, Any]]:
    """Annotation and default by the name of the argument; empty for a class that needs none."""
    if not inspect.isclass(target):
        return {}
    for base, table in ((L.Trainer, _Trainer), (torch.optim.Optimizer, _Optimizer)):
        if issubclass(target, base):
            hints = typing.get_type_hints(table, include_extras=True)
            return {name: (hint, vars(table)[name]) for name, hint in hints.items()}
    return {}
