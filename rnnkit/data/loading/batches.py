"""Whole sequences in batches of like length."""

from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

import torch

from rnnkit.batch import SequenceBatch
from rnnkit.data.loading.workers import Collate, Workers
from rnnkit.data.loading.worst_case import WorstCase
from rnnkit.errors import UserError
from rnnkit.ranges import NonNegativeInt, PositiveInt

POOL = 50
"""Batches among whose sequences neighbors in length are sought: more pad less, fewer mix better."""


class BatchPosition(TypedDict):
    """What `Batches.state_dict` tells."""

    batch: NonNegativeInt
    epoch: NonNegativeInt
    sequences: PositiveInt
    batch_size: PositiveInt


class Batches:
    """The batches of one epoch over finite sequences, an iterable of `SequenceBatch` with a length and a position.

    Every sequence is in exactly one batch an epoch. With `shuffle` the sequences are dealt at random into pools of
    `POOL` batches; within a pool they are sorted by length, so that those of a batch are about equally long, and the
    batches come in random order. The order follows from `seed` and the number of the epoch alone. Without `shuffle` the
    sequences are sorted by length as a whole, the longest first.

    `batch_size` is that of all `world_size` processes together; number `rank` takes every `world_size`-th sequence of
    each batch, from another one on in each, so that all processes have the same number of batches of like length. The
    last batch holds what is left; where that is less than one sequence for each process, it joins the batch before.

    `state_dict` holds the position, as that of `rnnkit.data.Windows` does: it counts the batches handed out, not those
    that `workers` have made ahead.

    * `lengths`: how long each sequence is.
    * `collate`: makes a `SequenceBatch` of the sequences with these indices.
    * `workers`: the processes that call it; None for none.
    * `pin`: whether workers' batches are moved to memory that a GPU reads directly.

    Raises UserError for no sequences, fewer than processes, and a `batch_size` that the processes cannot share.

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
        self._start = 0  # the batch that the next epoch begins with
        self._position = 0  # the batch that comes next in the current epoch

    def __len__(self) -> int:
        """Batches in a whole epoch, wherever the position is."""
        return self._count

    @property
    def epoch(self) -> int:
        """The number of the epoch that is under way, from 0."""
        return self._epoch

    def worst_case(self, rows: int) -> WorstCase:
        """The longest sequences; the last row is the shortest one, so that there is padding. They may be repeated."""
        order = self._by_length(torch.arange(len(self._lengths))).tolist()
        batch = self._collate([*(order[n % len(order)] for n in range(rows - 1)), order[-1]])
        return WorstCase(batch, min(self._batch_size, len(order)), int(self._lengths.max()), "batch_size")

    def __iter__(self) -> Iterator[SequenceBatch]:
        """Begin an epoch: the rest of the interrupted one after `load_state_dict`, else a whole one."""
        start, self._start = self._start, 0
        self._epoch += self._position > start  # unless the epoch goes on
        # in turn, because the first of a batch is the longest, and no process is to have more to do than the others
        number, count = self._rank, self._world_size
        own = [batch[(number + index) % count :: count] for index, batch in enumerate(self._dealt())][start:]
        for batch in self._workers.collated(own, self._collate, pin=self._pin):
            start += 1
            self._position = start
            yield batch

    def state_dict(self, epoch_batches: float | None = None) -> dict[str, int]:
        """The position and what it depends on. The end of an epoch is the next one's start.

        `epoch_batches` is after how many batches an epoch ends, where it ends before all are through.
        """
        ended = self._position >= min(len(self), epoch_batches or len(self))
        return {
            "batch": 0 if ended else self._position,
            "epoch": self._epoch + ended,
            "sequences": len(self._lengths),
            "batch_size": self._batch_size,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Let the next epoch begin at a position that `state_dict` told.

        Raises UserError when that position is one among other batches, because the data or the batch size differ, and
        for a batch that there is not.
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

    def _dealt(self) -> list[list[int]]:
        """The indices of each batch of the current epoch, over all processes."""
        if not self._shuffle:
            return self._cut(self._by_length(torch.arange(len(self._lengths))))
        # far apart, so that neighboring seeds share no epoch
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        order = torch.randperm(len(self._lengths), generator=generator)
        batches = [
            batch
            for pool in order.split(POOL * self._batch_size)
            for batch in self._by_length(pool).split(self._batch_size)
        ]
        batches = self._joined(batches)
        return [batches[index].tolist() for index in torch.randperm(len(batches), generator=generator)]

    def _by_length(self, indices: torch.Tensor) -> torch.Tensor:
        return indices[self._lengths[indices].argsort(descending=True, stable=True)]

    def _cut(self, order: torch.Tensor) -> list[list[int]]:
        return [batch.tolist() for batch in self._joined(list(order.split(self._batch_size)))]

    def _joined(self, batches: list[torch.Tensor]) -> list[torch.Tensor]:
        """The batches, the last of which has a sequence for each process."""
        if len(batches) > self._count:
            *batches, before, last = batches
            batches.append(torch.cat([before, last]))
        return batches


def padded(rows: Sequence[Any], *, value: float = 0) -> torch.Tensor:
    """Tensors [T, ...] of several lengths side by side, [B, T, ...], `value` behind the shorter ones.

    >>> padded([torch.tensor([1, 2]), torch.tensor([3])], value=-100)
    tensor([[   1,    2],
            [   3, -100]])
    """
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)
