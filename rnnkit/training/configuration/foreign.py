"""Annotations of arguments of torch and Lightning, with ranges that these check late or not at all."""

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
    """Whether a text is a time above 0 in Lightning's format.

    >>> is_time("00:01:30:00"), is_time("90"), is_time("00:00:00:00")
    (True, False, False)
    """
    parts = re.fullmatch(r"(\d+):(\d\d):(\d\d):(\d\d)", text.strip())
    return parts is not None and any(int(part) for part in parts.groups())


def has_time(units: Mapping[str, float]) -> bool:
    """Whether numbers of days, hours, minutes or seconds add up to a time above 0."""
    return sum(units.values()) > 0


def is_devices(text: str) -> bool:
    """Whether a text is a device number, or several with commas between, as Lightning reads it."""
    return re.fullmatch(r"-1|[1-9]\d*|\d+(,\d+)*,?", text.replace(" ", "")) is not None and text.strip() != "0"


def is_strategy(name: str) -> bool:
    """Whether Lightning has a strategy of this name."""
    from lightning.pytorch.strategies import StrategyRegistry

    return name == "auto" or name in StrategyRegistry.available_strategies()


Devices = Annotated[str, Predicate(is_devices), doc("device numbers such as '0,1'")]
Unit = Literal["weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds"]
Units = Annotated[Mapping[Unit, NonNegative], Predicate(has_time), doc("a mapping such as {hours: 8}")]


class _Trainer:
    """Arguments of `lightning.Trainer`; the default is proposed in place of an invalid value."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"] = "auto"
    devices: PositiveInt | Unlimited | Literal["auto"] | Devices | Annotated[list[NonNegativeInt], MinLen(1)] = "auto"
    num_nodes: PositiveInt = 1
    strategy: Annotated[str, Predicate(is_strategy), doc("a strategy of Lightning")] = "auto"
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
    """Arguments of all classes in torch.optim, by name."""

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
    "logger": "rnnkit board, which shows the log of every run",
    "plugins": "trainer.precision or trainer.strategy",
    "default_root_dir": "run_dir=runs/mine",
    "enable_checkpointing": "save_minutes=10",
    "enable_model_summary": "rnnkit explain",
    "num_sanity_val_steps": "trainer=smoke, in a separate run",
    "use_distributed_sampler": "trainer=ddp, which splits the data",
    "reload_dataloaders_every_n_epochs": "a data module of your own",
    "barebones": "trainer.enable_progress_bar=false",
    "fast_dev_run": "trainer=smoke",
    "gradient_clip_val": "clipping.max_norm=1.0",
    "gradient_clip_algorithm": "clipping=value",
}
"""Arguments of a Trainer that a run sets itself, and what to use instead."""


def foreign_annotations(target: Any) -> dict[str, tuple[Any, Any]]:
    """Return annotation and default by the name of the argument; empty if the class has no entry here."""
    if not inspect.isclass(target):
        return {}
    for base, table in ((L.Trainer, _Trainer), (torch.optim.Optimizer, _Optimizer)):
        if issubclass(target, base):
            hints = typing.get_type_hints(table, include_extras=True)
            return {name: (hint, vars(table)[name]) for name, hint in hints.items()}
    return {}
