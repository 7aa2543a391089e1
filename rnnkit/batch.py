"""SequenceBatch: the word that data and tasks share."""

from typing import Any, NamedTuple

from torch import Tensor

IGNORED = -100
"""The target that no loss counts: padding."""


class SequenceBatch(NamedTuple):
    """B sequences side by side, or one window of B lanes, T steps long.

    Axes: B lanes, T time steps, I input features, O output features.

    * `inputs`: [B, T] ids or [B, T, I] values; where a model reads more than one thing, a NamedTuple whose first field
      is such a tensor.
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
        first = self.inputs if isinstance(self.inputs, Tensor) else self.inputs[0]
        return first.shape[0], first.shape[1]

    @property
    def tokens(self) -> int:
        """The valid steps of all lanes."""
        lanes, steps = self.shape
        return lanes * steps if self.valid is None else self.valid
