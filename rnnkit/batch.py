"""SequenceBatch, the batches that data modules create and tasks read."""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnnkit.errors import UserError
from rnnkit.inputs import ForecastExtra, ForecastInputs, TagExtra, TokenInputs

__all__ = ["IGNORED", "ForecastExtra", "ForecastInputs", "SequenceBatch", "TagExtra", "TokenInputs"]

IGNORED = -100
"""The target of padding, which every loss ignores."""


class SequenceBatch(NamedTuple):
    """B sequences, or one window of B lanes, with T steps.

    Axes: B rows, T time steps, I input features, O output features.

    Args:
        inputs: [B, T] ids or [B, T, I] values. For a model with several inputs, a NamedTuple, a dict or a dataclass,
            whose first tensor is of this form; it may be of your own class. Its tensors are [B, ...] unless it has its
            own method `take(rows)`.
        targets: [B, T] ids, [B, T, O] values or [B]; ids are `IGNORED` at padding.
        lengths: [B], the number of valid steps of each row, 0 allowed. None means no padding, which data modules know
            without synchronizing with the device, and which makes masks unnecessary.
        target_lengths: [B], the number of valid targets of each row if there is not one for each step; None if all
            targets are valid, or as many as `lengths`.
        reset: [B] booleans, true where a lane begins a new sequence with this window; None if each row is a whole
            sequence and no state is carried.
        num_steps: the number of valid steps of all rows, the sum of `lengths`, known without synchronizing with the
            device; None if there is no padding.
        extra: data for metrics and for the units of predictions, such as scales and baselines, that no model reads. Of
            the same kinds as `inputs`.

    >>> import torch
    >>> batch = SequenceBatch(torch.zeros(2, 5), torch.tensor([0, 1]), torch.tensor([5, 2]), num_steps=7)
    >>> batch.shape, batch.num_valid_steps
    ((2, 5), 7)
    """

    inputs: Any
    targets: Tensor
    lengths: Tensor | None = None
    target_lengths: Tensor | None = None
    reset: Tensor | None = None
    num_steps: int | None = None
    extra: Any = None

    @classmethod
    def of(
        cls,
        inputs: Any,
        targets: Tensor,
        lengths: Sequence[int],
        target_lengths: Sequence[int] | None = None,
        extra: Any = None,
    ) -> "SequenceBatch":
        """Return a batch of whole sequences; equal lengths become None.

        >>> import torch
        >>> SequenceBatch.of(torch.zeros(2, 3), torch.tensor([0, 1]), [3, 3]).lengths is None
        True
        >>> SequenceBatch.of(torch.zeros(2, 3), torch.tensor([0, 1]), [3, 1]).num_steps
        4
        """
        is_full = min(lengths) == max(lengths)
        if target_lengths is not None and min(target_lengths) == max(target_lengths):
            target_lengths = None
        return cls(
            inputs,
            targets,
            None if is_full else torch.tensor(lengths),
            None if target_lengths is None else torch.tensor(target_lengths),
            num_steps=None if is_full else sum(lengths),
            extra=extra,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """B and T, including padding."""
        first = self.inputs
        while not isinstance(first, Tensor):
            first = parts(first)[0]  # type: ignore[index]
        return first.shape[0], first.shape[1]

    @property
    def num_valid_steps(self) -> int:
        """The number of valid steps of all rows."""
        rows, steps = self.shape
        return rows * steps if self.num_steps is None else self.num_steps

    def to(self, device: torch.device) -> "SequenceBatch":
        """Return the batch on another device, or itself if it is there already; does not synchronize with CUDA.

        >>> batch = SequenceBatch(torch.zeros(2, 5), torch.tensor([0, 1]), None)
        >>> batch.to(torch.device("cpu")) is batch
        True
        """
        return self if self.targets.device == device else _moved(self, device)

    def take(self, rows: Tensor) -> "SequenceBatch":
        """Return a batch of some rows, by their indices; a row may occur several times. Synchronizes with the device.

        Raises:
            UserError: if a tensor in `inputs` or `extra` does not have one row for each row of the batch.

        >>> batch = SequenceBatch(torch.zeros(2, 5), torch.tensor([0, 1]), torch.tensor([5, 2]), num_steps=7)
        >>> taken = batch.take(torch.tensor([1, 1, 1]))
        >>> taken.shape, taken.num_valid_steps
        ((3, 5), 6)
        """
        inputs, targets, lengths, target_lengths, reset, extra = (
            _taken(value, rows, self.shape[0])
            for value in (self.inputs, self.targets, self.lengths, self.target_lengths, self.reset, self.extra)
        )
        num_steps = None if lengths is None else int(lengths.sum())
        return SequenceBatch(inputs, targets, lengths, target_lengths, reset, num_steps, extra)


def parts(value: Any) -> list[Any] | None:
    """Return the items of a tuple, a NamedTuple, a list, a dict or a dataclass, in order; None for anything else.

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
    """Return a structure of the same type with other items; no constructor is called.

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


def _taken(value: Any, rows: Tensor, count: int) -> Any:
    if isinstance(value, Tensor):
        if value.dim() == 0 or len(value) != count:
            got, fix = f"a tensor {list(value.shape)}", "a method take(rows) of the type that holds it"
            raise UserError("batch", f"tensors of {count} rows, as many as the batch has", got, fix=fix)
        return value[rows]
    if hasattr(value, "take"):
        return value.take(rows)
    found = parts(value)
    return value if found is None else with_parts(value, [_taken(part, rows, count) for part in found])
