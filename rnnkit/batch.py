"""SequenceBatch: the word that data and tasks share."""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

IGNORED = -100
"""The target that no loss counts: padding."""


class ForecastInputs(NamedTuple):
    """B windows of time series, each with what is known at its origin, the step after which the future begins.

    Values, `location`, `scale` and `seasonal_error` are float64, because a series may lie far above its spread; a model
    scales them by window (`rnnkit.layers.WindowScaling`) before it computes in the dtype of `gaps` and the covariates.

    Axes: B windows, T past steps, H future steps, C target channels; P, F, K, G, S, N covariates.

    * `past`: [B, T, C], the target channels up to the origin; NaN where missing or padded.
    * `past_covariates`: [B, T, P], numeric covariates over the past, the last F of them known for the future too.
    * `future_covariates`: [B, H, F], those F over the horizon; NaN where missing, as in the past.
    * `past_categories`: [B, T, K] int64 ids, the last G of them known for the future too; 0 is unknown or missing.
    * `future_categories`: [B, H, G], those G over the horizon.
    * `static`: [B, S], numbers that hold for a whole series.
    * `static_categories`: [B, N] int64 ids that hold for a whole series.
    * `gaps`: [B, T], the time since the step before in units of the frequency; 1 in regular series and at their start.
    * `location`, `scale`: [B, C]; a value in the units of the file is `location + scale * value`.
    * `step`: [B] int64, the steps of the series before the horizon, which say where in its season a window ends.
    * `seasonal_error`: [B, C], the mean absolute difference of training values a season apart, in units of the batch;
      NaN where there are none.
    """

    past: Tensor
    past_covariates: Tensor
    future_covariates: Tensor
    past_categories: Tensor
    future_categories: Tensor
    static: Tensor
    static_categories: Tensor
    gaps: Tensor
    location: Tensor
    scale: Tensor
    step: Tensor
    seasonal_error: Tensor

    @classmethod
    def of(cls, past_BTC: Tensor, horizon: int) -> "ForecastInputs":
        """Windows of which nothing is known but the values, in their own units.

        >>> import torch
        >>> ForecastInputs.of(torch.rand(2, 5, 1), horizon=3).future_covariates.shape
        torch.Size([2, 3, 0])
        """
        lanes, steps, channels = past_BTC.shape
        past, future = past_BTC.new_zeros(lanes, steps, 0), past_BTC.new_zeros(lanes, horizon, 0)
        static, unit = past_BTC.new_zeros(lanes, 0), past_BTC.new_ones(lanes, channels)
        return cls(
            past=past_BTC,
            past_covariates=past,
            future_covariates=future,
            past_categories=past.long(),
            future_categories=future.long(),
            static=static,
            static_categories=static.long(),
            gaps=past_BTC.new_ones(lanes, steps),
            location=torch.zeros_like(unit),
            scale=unit,
            step=torch.full((lanes,), steps, device=past_BTC.device),
            seasonal_error=unit,
        )


class TokenInputs(NamedTuple):
    """B sentences of T tokens. The characters stand there once for each distinct word of the batch.

    Axes: B sentences, T tokens, U distinct words, K characters.

    * `words`: [B, T] int64 ids; 0 is a word that training never saw, and padding.
    * `vectors`: [B, T] int64 rows of a table of given word vectors; 0 is a word without one, and padding.
    * `which`: [B, T] int64, which of the distinct words each token is.
    * `characters`: [U, K] int64 ids of the distinct words' characters; 0 is padding.
    * `sizes`: [U] int64, how many characters each has.
    * `usual`: [B, T] int64, the tag that the word has most often in training: the baseline.
    """

    words: Tensor
    vectors: Tensor
    which: Tensor
    characters: Tensor
    sizes: Tensor
    usual: Tensor


class SequenceBatch(NamedTuple):
    """B sequences side by side, or one window of B lanes, T steps long.

    Axes: B lanes, T time steps, I input features, O output features.

    * `inputs`: [B, T] ids or [B, T, I] values; where a model reads more than one thing, a NamedTuple, a dict or
      a dataclass whose first tensor is such a one.
    * `targets`: [B, T] ids, [B, T, O] values or [B]; ids are `IGNORED` where the lane is padded.
    * `lengths`: [B], the valid steps of each lane, 0 allowed; None says that every lane is full, which the data know
      without asking the device and which makes masks unnecessary.
    * `reset`: [B] booleans, true where a lane begins a new sequence with this window; None where each lane is a whole
      sequence and nothing is carried.
    * `valid`: the valid steps of all lanes, the sum of `lengths`, which the data know without asking the device; None
      where every lane is full.

    >>> import torch
    >>> batch = SequenceBatch(torch.zeros(2, 5), torch.tensor([0, 1]), torch.tensor([5, 2]), valid=7)
    >>> batch.shape, batch.tokens
    ((2, 5), 7)
    """

    inputs: Any
    targets: Tensor
    lengths: Tensor | None
    reset: Tensor | None = None
    valid: int | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """B and T, padding included."""
        first = self.inputs
        while not isinstance(first, Tensor):
            first = parts(first)[0]  # type: ignore[index]
        return first.shape[0], first.shape[1]

    @property
    def tokens(self) -> int:
        """The valid steps of all lanes."""
        lanes, steps = self.shape
        return lanes * steps if self.valid is None else self.valid

    def to(self, device: torch.device) -> "SequenceBatch":
        """The batch on another device, and the batch itself where it is there already; CUDA is not waited for.

        >>> batch = SequenceBatch(torch.zeros(2, 5), torch.tensor([0, 1]), None)
        >>> batch.to(torch.device("cpu")) is batch
        True
        """
        return self if self.targets.device == device else _moved(self, device)


def parts(value: Any) -> list[Any] | None:
    """What a tuple, a NamedTuple, a list, a dict or a dataclass holds, in its order; None for anything else.

    >>> parts({"values": 1, "gaps": [2]}), parts(3)
    ([1, [2]], None)
    """
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, tuple | list):
        return list(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    return None


def with_parts(value: Any, new: Sequence[Any]) -> Any:
    """A structure of the same type with other parts; no constructor is called.

    >>> with_parts({"values": 1, "gaps": [2]}, [3, 4])
    {'values': 3, 'gaps': 4}
    """
    if isinstance(value, tuple):
        return tuple.__new__(type(value), new)
    made = copy.copy(value)
    if isinstance(value, list):
        made[:] = new
    elif isinstance(value, dict):
        made.update(zip(value, new, strict=True))
    else:
        for field, part in zip(dataclasses.fields(value), new, strict=True):
            object.__setattr__(made, field.name, part)
    return made


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        if device.type == "mps" and value.dtype == torch.float64:
            value = value.float()  # Apple's GPUs have no float64
        return value.to(device, non_blocking=device.type == "cuda")
    found = parts(value)
    return value if found is None else with_parts(value, [_moved(part, device) for part in found])
