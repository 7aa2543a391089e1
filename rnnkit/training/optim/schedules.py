"""Learning-rate schedules, stepped once per optimizer step.

Each function is called with the optimizer and the number of optimizer steps of the whole run, and returns a value for
Lightning's `lr_scheduler`. The peak is the learning rate of the optimizer. `warmup_steps` are optimizer steps.

In a run with `trainer.max_time`, schedules that depend on the length of the run follow the share of the time used if it
is larger than the share of the steps taken, so that they end with the time (see `TimedLR`).
"""

import math
import sys
from collections.abc import Callable
from typing import Any, Literal

import lightning as L
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from rnnkit.errors import UserError
from rnnkit.ranges import Fraction, Level, NonNegativeInt, PositiveInt


def constant(optimizer: Optimizer, total_steps: int, *, warmup_steps: NonNegativeInt = 0) -> dict[str, Any]:
    """Linear warmup over `warmup_steps`, then a constant rate."""
    return {"scheduler": LambdaLR(optimizer, lambda step: _warmup(step, warmup_steps)), "interval": "step"}


def cosine(
    optimizer: Optimizer, total_steps: int, *, warmup_steps: NonNegativeInt = 0, final_share: Fraction = 0.0
) -> dict[str, Any]:
    """Linear warmup over `warmup_steps`, then a half cosine down to `final_share` times the peak
    (Loshchilov and Hutter 2017, arXiv:1608.03983).
    """
    _check_share("final_share", final_share)

    def factor(step: int, place: float) -> float:
        falling = _half_cosine(max(0, place - warmup_steps), total_steps - warmup_steps)
        return min(_warmup(step, warmup_steps), final_share + (1 - final_share) * falling)

    return _each_step(optimizer, factor, total_steps)


def one_cycle(
    optimizer: Optimizer,
    total_steps: int,
    *,
    warmup_share: Fraction = 0.3,
    start_share: Fraction = 0.04,
    final_share: Fraction = 1e-4,
) -> dict[str, Any]:
    """A cosine from `start_share` times the peak up to the peak over `warmup_share` of the run, then a cosine down to
    `final_share` times the peak (Smith and Topin 2018, arXiv:1708.07120).
    """
    for name, value in (("warmup_share", warmup_share), ("start_share", start_share), ("final_share", final_share)):
        _check_share(name, value)
    rising = round(warmup_share * total_steps)

    def factor(step: int, place: float) -> float:
        if place < rising:
            return 1 + (start_share - 1) * _half_cosine(place, rising)
        return final_share + (1 - final_share) * _half_cosine(place - rising, total_steps - rising)

    return _each_step(optimizer, factor, total_steps)


def constant_then_decay(
    optimizer: Optimizer, total_steps: int, *, constant_share: Fraction, num_decays: PositiveInt, factor: Level = 0.5
) -> dict[str, Any]:
    """A constant rate for a share `constant_share` of the run, then `num_decays` multiplications by `factor` at equal
    intervals.

    With 13 epochs, `constant_share` 4/13, `num_decays` 9 and `factor` 0.5, the rate halves after each epoch from the
    fourth on (Zaremba et al. 2014, arXiv:1409.2329).
    """
    _check_share("constant_share", constant_share)

    def at(step: int, place: float) -> float:
        # the small constant keeps rounding from delaying a decay at the first step of an epoch
        passed = (place / total_steps - constant_share) / (1 - constant_share) * num_decays + 1e-6
        return float(factor ** max(0, min(num_decays, math.floor(passed) + 1))) if passed >= 0 else 1.0

    return _each_step(optimizer, at, total_steps)


def reduce_on_plateau(
    optimizer: Optimizer,
    total_steps: int,
    *,
    monitor: str,
    mode: Literal["min", "max"] = "min",
    patience: NonNegativeInt = 2,
    factor: Level = 0.5,
) -> dict[str, Any]:
    """Multiplies the learning rate by `factor` after `patience` validations without a better `monitor`."""
    plateau = ReduceLROnPlateau(optimizer, mode=mode, patience=patience, factor=factor)  # type: ignore[arg-type]
    return {"scheduler": plateau, "monitor": monitor, "frequency": sys.maxsize}


class StepPlateau(L.Callback):
    """Steps `reduce_on_plateau` after each validation; Lightning steps it after each epoch, too rarely for long
    texts.
    """

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        for entry in trainer.lr_scheduler_configs:
            if entry.reduce_on_plateau and entry.monitor in trainer.callback_metrics:
                entry.scheduler.step(float(trainer.callback_metrics[entry.monitor]))  # type: ignore[call-arg, arg-type]


class TimedLR(LambdaLR):
    """A learning rate that is a function of the step and of the progress of the run.

    The progress, in steps, is the larger of the steps taken and of the share `time_used` of all steps. A run with
    `trainer.max_time` sets `time_used` after each step; otherwise it is 0.
    """

    def __init__(self, optimizer: Optimizer, factor: Callable[[int, float], float], total_steps: int) -> None:
        self.time_used = 0.0
        super().__init__(optimizer, lambda step: factor(step, max(step, self.time_used * total_steps)))


def _each_step(optimizer: Optimizer, factor: Callable[[int, float], float], total_steps: int) -> dict[str, Any]:
    return {"scheduler": TimedLR(optimizer, factor, total_steps), "interval": "step"}


def _warmup(step: int, warmup_steps: NonNegativeInt) -> float:
    return min(1.0, (step + 1) / (warmup_steps + 1))


def _half_cosine(step: float, steps: int) -> float:
    """Return 1 at the first step, falling to 0 at the last step and after it."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps))))


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise UserError(f"schedule.{name}", "a number in [0, 1)", str(value), fix=f"schedule.{name}=0.1")
