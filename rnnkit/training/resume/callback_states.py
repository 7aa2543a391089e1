"""Types of the callback states in a checkpoint."""

from collections.abc import Mapping
from numbers import Real
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import lightning as L
from annotated_types import MinLen, Predicate
from lightning.pytorch.callbacks import EarlyStopping as LightningEarlyStopping
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging
from torch import Tensor

from rnnkit.ranges import NonNegative, NonNegativeInt
from rnnkit.structure import check
from rnnkit.training.checks.nonfinite import NonFiniteGuard
from rnnkit.training.optim.averaging import NonmonotonicAverage
from rnnkit.training.report.monitor import Monitor
from rnnkit.training.resume.randomness import RandomState
from rnnkit.training.resume.time_budget import TimeBudget
from rnnkit.training.run.templates import is_stored


def is_number(value: Tensor) -> bool:
    """Whether a tensor has one element."""
    return value.dim() == 0 and is_stored(value) and not value.is_complex()


Number = Annotated[Tensor, Predicate(is_number)]


class MonitorState(TypedDict):
    """The state of `Monitor`; the first checkpoints have `tokens` and `seconds` only."""

    tokens: NonNegativeInt
    seconds: NonNegative
    sums: NotRequired[dict[Literal["loss", "gradient_norm", "clipped_share"], Number]]
    windows: NotRequired[NonNegativeInt]
    updates: NotRequired[NonNegativeInt]
    rectangle: NotRequired[NonNegativeInt]
    tokens_at: NotRequired[NonNegativeInt]
    seconds_at: NotRequired[NonNegative]
    latest: NotRequired[dict[str, Real]]
    validated: NotRequired[dict[str, Real]]
    epochs: NotRequired[NonNegativeInt]


class GeneratorStates(TypedDict):
    """The state of the random number generators of one process."""

    torch: Tensor
    cuda: list[Tensor]
    python: tuple[int, list[int], float | None]
    numpy: tuple[str, list[int], int, int, float]


class RandomStates(TypedDict):
    """The state of `RandomState`."""

    processes: Annotated[list[GeneratorStates], MinLen(1)]


class Budget(TypedDict):
    """The state of `TimeBudget`."""

    elapsed: NonNegative


class Skipped(TypedDict):
    """The state of `NonFiniteGuard`."""

    skipped: NonNegativeInt


class Stopping(TypedDict):
    """The state of `EarlyStopping`."""

    wait_count: NonNegativeInt
    stopped_epoch: NonNegativeInt
    best_score: Number
    patience: NonNegativeInt
    stopping_reason: NotRequired[NonNegativeInt]
    stopping_reason_message: NotRequired[str | None]


class BestModels(TypedDict):
    """The state of `ModelCheckpoint`."""

    monitor: str | None
    best_model_score: Number | None
    best_model_path: str
    current_score: Number | None
    dirpath: str | None
    best_k_models: dict[str, Number]
    kth_best_model_path: str
    kth_value: Number
    last_model_path: str


class Averaged(TypedDict):
    """The state of `WeightAveraging`."""

    latest_update_step: NonNegativeInt


class AveragedOnceWorse(Averaged):
    """The state of `NonmonotonicAverage`."""

    history: list[Real]
    triggered: bool


ALWAYS: dict[type[L.Callback], Any] = {
    Monitor: MonitorState,
    RandomState: RandomStates | GeneratorStates,
    NonFiniteGuard: Skipped,
}
"""Callbacks of every run. Checkpoints of earlier versions may lack the states of other callbacks."""
STATES: dict[type[L.Callback], Any] = {
    **ALWAYS,
    TimeBudget: Budget,
    LightningEarlyStopping: Stopping,
    ModelCheckpoint: BestModels,
    NonmonotonicAverage: AveragedOnceWorse,
    WeightAveraging: Averaged,
}
"""Types by the class of a callback. The state of another callback is not checked."""


def check_callbacks(states: Mapping[str, Any], trainer: L.Trainer, *, complete: bool) -> None:
    """Check that each callback state has the structure that the callback writes.

    Args:
        states: the states in the checkpoint.
        trainer: the trainer with the callbacks.
        complete: whether the states of all callbacks of every run must be present.

    Raises:
        ValueError: naming the place that differs.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        key = callback.state_key
        kind = next((kind for kind in STATES if isinstance(callback, kind)), None)
        if key in states and kind is not None:
            check(states[key], STATES[kind], f"callbacks.{type(callback).__name__}")
        elif complete and kind in ALWAYS:
            raise ValueError(f"callbacks has no {key}")
