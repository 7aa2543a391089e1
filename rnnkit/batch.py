"""SequenceBatch: the word that data and tasks share."""

from typing import NamedTuple

from torch import Tensor

IGNORED = -100
"""The target that no loss counts: padding."""


class SequenceBatch(NamedTuple):
    """One window of B lanes, T steps long.

    Axes: B lanes, T time steps, I input features, O output features.

    * `inputs`: [B, T] ids or [B, T, I] values.
    * `targets`: [B, T] ids, [B, T, O] values or [B]; ids are `IGNORED` where the lane is padded.
    * `lengths`: [B], the valid steps of this window, 0 allowed; None says that every lane is full, which the
      data know without asking the device and which makes masks unnecessary.
    * `reset`: [B] booleans, true where a lane begins a new sequence with this window.
    """

    inputs: Tensor
    targets: Tensor
    lengths: Tensor | None
    reset: Tensor
