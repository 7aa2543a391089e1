"""Batches made ahead of training by processes of their own."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnkit.batch import SequenceBatch
from rnnkit.compat.torch import tree_map
from rnnkit.errors import UserError

Collate = Callable[[list[int]], SequenceBatch]
AHEAD = 2
"""Batches that each worker is asked for before they are wanted."""

LEAST_LIMIT = 16
"""So many workers may be asked for on any machine, and on a larger one as many as it has processors."""


class Workers:
    """So many processes that collate batches; with 0 of them, each is collated when it is asked for.

    The batches are the same, in the same order, for any number. A worker is forked when an epoch begins, so that it
    knows all that the process knows then, and ends with the epoch or with the process.

    A batch that a worker fails to make is made here, where its error, if it has one, is raised as it would be without
    workers. Where it has none (a worker was killed, say), `lost` tells why, no worker is used from then on, and whoever
    trains may save and end the run.

    Raises UserError for a number that is none or more than the machine can use, and where processes cannot be forked.

    >>> texts = ["to", "be", "or", "not"]
    >>> list(Workers(2).collated([[3, 0], [1, 2]], lambda indices: [texts[index] for index in indices]))
    [['not', 'to'], ['be', 'or']]
    """

    def __init__(self, count: int = 0) -> None:
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise UserError("data.workers", "a whole number, 0 or more", repr(count), fix="data.workers=0")
        if count > (most := max(LEAST_LIMIT, os.cpu_count() or 1)):
            expected = f"at most {most} processes on this machine"
            raise UserError("data.workers", expected, str(count), fix=f"data.workers={most}")
        if count and "fork" not in multiprocessing.get_all_start_methods():
            raise UserError("data.workers", "0 on a system that cannot fork", str(count), fix="data.workers=0")
        self.count = count
        self.lost: str | None = None
        """What became of a worker that did not do its work."""

    def collated(self, batches: Sequence[list[int]], collate: Collate, *, pin: bool = False) -> Iterator[SequenceBatch]:
        """What `collate` makes of each of these lists of indices, in memory that a GPU reads directly if `pin`."""
        done = 0
        if self.count and self.lost is None:
            for batch in self._ahead(batches, collate):
                done += 1
                yield tree_map(_pinned, batch) if pin else batch
        yield from map(collate, batches[done:])

    def _ahead(self, batches: Sequence[list[int]], collate: Collate) -> Iterator[SequenceBatch]:
        """The same by workers, up to the first batch that they fail to make."""
        fork = multiprocessing.get_context("fork")
        pool = ProcessPoolExecutor(self.count, mp_context=fork, initializer=_begin, initargs=(collate,))
        coming = iter(batches)
        waiting: deque[Future[SequenceBatch]] = deque()

        def ask() -> None:
            waiting.extend(pool.submit(_work, batch) for batch in islice(coming, AHEAD * self.count - len(waiting)))

        try:
            while True:
                try:
                    ask()
                    if not waiting:
                        return
                    plain = waiting.popleft().result()
                    ask()
                except Exception as error:
                    failure = error
                    break
                if not waiting:
                    pool.shutdown(wait=False)  # validation, with workers of its own, comes before the next epoch
                yield tree_map(_tensor, plain)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        self.lost = f"{type(failure).__name__}: {failure}"


_collate: Collate


def _begin(collate: Collate) -> None:
    """The beginning of a worker's life."""
    global _collate
    _collate = collate
    torch.set_num_threads(1)  # and the pool of threads of the process that was forked is not here
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the process that trains ends its workers
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # a parent that was killed tells nobody, and workers would wait for it for ever
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(batch: list[int]) -> SequenceBatch:
    return tree_map(_array, _collate(batch))  # type: ignore[no-any-return]


def _array(value: Any) -> Any:
    # Tensors would each be handed over in a shared file of their own, at 0.2 ms; the batches of text and series are
    # small, and quicker in a pipe.
    try:
        return value.numpy() if isinstance(value, Tensor) else value
    except TypeError:  # no NumPy type is like it
        return value


def _tensor(value: Any) -> Any:
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def _pinned(value: Any) -> Any:
    return value.pin_memory() if isinstance(value, Tensor) else value
