"""Batches of whole sequences of similar length."""

from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

import torch

from rnnkit.batch import SequenceBatch
from rnnkit.data.loading.workers import Collate, Workers
from rnnkit.errors import UserError
from rnnkit.ranges import NonNegativeInt, PositiveInt

POOL = 50
"""Batches per pool. Sequences are sorted by length within a pool. A larger pool needs less padding; a smaller one
shuffles better."""


class BatchPosition(TypedDict):
    """The result of `Batches.state_dict`."""

    batch: NonNegativeInt
    epoch: NonNegativeInt
    sequences: PositiveInt
    batch_size: PositiveInt


class Batches:
    """Batches of one epoch over finite sequences: an iterable of `SequenceBatch` with a length and a position.

    An epoch contains every sequence exactly once. With `shuffle`, sequences are assigned at random to pools of `POOL`
    batches and sorted by length within a pool, so that the sequences of a batch have similar lengths. The batches are
    then shuffled. The order depends only on `seed` and the number of the epoch. Without `shuffle`, all sequences are
    sorted by length, longest first.

    Each process takes every `world_size`-th sequence of a batch. The offset changes from batch to batch, so that all
    processes get the same number of batches of similar length. The last batch may be smaller. If it has fewer
    sequences than there are processes, it is merged into the batch before it.

    `state_dict` holds the position, as that of `rnnkit.data.Windows` does. It counts the batches that were yielded, not
    those that `workers` have prepared.

    Args:
        lengths: the length of each sequence.
        collate: a function from indices of sequences to a `SequenceBatch`.
        batch_size: sequences per batch, over all processes.
        shuffle: whether to shuffle the sequences in each epoch.
        seed: seed of the order.
        rank: index of this process.
        world_size: number of processes.
        workers: the worker processes that call `collate`; None for no workers.
        pin: whether to pin the memory of the batches that workers return.

    Raises:
        UserError: there are no sequences or fewer than processes, or `batch_size` is not a multiple of `world_size`.

    >>> texts = ["to", "be", "or", "not"]
    >>> def collate(indices):
    ...     return [texts[index] for index in indices]
    >>> list(Batches([2, 2, 2, 3], collate, batch_size=2))
    [['not', 'to'], ['be', 'or']]
    """

    def __init__(
        self,
        lengths: Sequence[int],
        collate: Collate,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        workers: Workers | None = None,
        pin: bool = False,
    ) -> None:
        if batch_size < 1 or batch_size % world_size:
            fitting = world_size * max(1, round(batch_size / world_size))
            expected = f"a positive multiple of {world_size}, the number of processes"
            raise UserError("data.batch_size", expected, str(batch_size), fix=f"data.batch_size={fitting}")
        if len(lengths) < world_size:
            raise UserError("data", f"{world_size} sequences or more", str(len(lengths)), fix="a larger split")
        self._lengths = torch.as_tensor(lengths)
        self._collate = collate
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._seed = seed
        self._rank, self._world_size = rank, world_size
        self._workers, self._pin = workers or Workers(), pin
        full, rest = divmod(len(lengths), batch_size)
        self._count = max(1, full + (rest >= world_size))
        self._epoch = 0
        self._start = 0  # the first batch of the next epoch
        self._position = 0  # the next batch of the current epoch

    def __len__(self) -> int:
        """The number of batches in a whole epoch, independent of the position."""
        return self._count

    @property
    def epoch(self) -> int:
        """The number of the current epoch, from 0."""
        return self._epoch

    @property
    def lanes(self) -> int:
        """The largest number of sequences in a batch, over all processes."""
        return min(self._batch_size, len(self._lengths))

    def longest(self, count: int) -> SequenceBatch:
        """A batch of the `count` longest sequences.

        The last one is the shortest sequence, so that the batch has padding. Sequences are repeated if there are fewer
        than `count`.
        """
        order = self._by_length(torch.arange(len(self._lengths))).tolist()
        return self._collate([*(order[n % len(order)] for n in range(count - 1)), order[-1]])

    def __iter__(self) -> Iterator[SequenceBatch]:
        """Start an epoch. After `load_state_dict`, this is the rest of the interrupted epoch."""
        start, self._start = self._start, 0
        self._epoch += self._position > start  # unless the epoch is resumed
        # rotate the offset: the first sequence of a batch is the longest, and all processes should have equal work
        number, count = self._rank, self._world_size
        own = [batch[(number + index) % count :: count] for index, batch in enumerate(self._epoch_batches())][start:]
        for batch in self._workers.collated(own, self._collate, pin=self._pin):
            start += 1
            self._position = start
            yield batch

    def state_dict(self, epoch_batches: float | None = None) -> dict[str, int]:
        """The position, and the sizes on which it depends. The end of an epoch is stored as the start of the next.

        Args:
            epoch_batches: the number of batches after which the trainer ends an epoch, if it is smaller than the
                length.
        """
        ended = self._position >= min(len(self), epoch_batches or len(self))
        return {
            "batch": 0 if ended else self._position,
            "epoch": self._epoch + ended,
            "sequences": len(self._lengths),
            "batch_size": self._batch_size,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start the next epoch at a position that `state_dict` returned.

        Raises:
            UserError: the data or the batch size differ from those of the position, or there is no such batch.
        """
        now = self.state_dict()
        for key, fix in (("sequences", "the same data as before"), ("batch_size", None)):
            if state[key] != now[key]:
                expected = f"the {key} of the interrupted run, {state[key]:,}, to resume within an epoch"
                raise UserError(f"data.{key}", expected, f"{now[key]:,}", fix=fix or f"data.{key}={state[key]}")
        if not 0 <= state["batch"] <= len(self):
            got = f"batch {state['batch']:,}"
            raise UserError("data", f"a position among the {len(self):,} batches", got, fix="a new run")
        self._start = self._position = state["batch"]
        self._epoch = state["epoch"]

    def _epoch_batches(self) -> list[list[int]]:
        """The indices of each batch of the current epoch, over all processes."""
        if not self._shuffle:
            return self._cut(self._by_length(torch.arange(len(self._lengths))))
        # a large factor, so that neighboring seeds do not share an epoch
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        order = torch.randperm(len(self._lengths), generator=generator)
        batches = [
            batch
            for pool in order.split(POOL * self._batch_size)
            for batch in self._by_length(pool).split(self._batch_size)
        ]
        batches = self._merged_last(batches)
        return [batches[index].tolist() for index in torch.randperm(len(batches), generator=generator)]

    def _by_length(self, indices: torch.Tensor) -> torch.Tensor:
        return indices[self._lengths[indices].argsort(descending=True, stable=True)]

    def _cut(self, order: torch.Tensor) -> list[list[int]]:
        return [batch.tolist() for batch in self._merged_last(list(order.split(self._batch_size)))]

    def _merged_last(self, batches: list[torch.Tensor]) -> list[torch.Tensor]:
        """The batches, with a last batch that has at least one sequence per process."""
        if len(batches) > self._count:
            *batches, before, last = batches
            batches.append(torch.cat([before, last]))
        return batches


def padded(rows: Sequence[Any], *, value: float = 0) -> torch.Tensor:
    """Stack tensors [T, ...] of different lengths into [B, T, ...]. Shorter ones are padded with `value` at the end.

    >>> padded([torch.tensor([1, 2]), torch.tensor([3])], value=-100)
    tensor([[   1,    2],
            [   3, -100]])
    """
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)
