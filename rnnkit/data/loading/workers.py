"""Worker processes that collate batches ahead of training."""

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
"""Batches that are requested in advance from each worker."""

LEAST_LIMIT = 16
"""The largest number of workers on any machine. A machine with more processors allows one per processor."""


class Workers:
    """Worker processes that collate batches. With 0 workers, each batch is collated on request.

    The batches and their order do not depend on the number of workers. Workers are forked at the start of an epoch, so
    that they share the memory of the process. They exit with the epoch or with the process.

    If a worker fails to collate a batch, the main process collates it. An error in `collate` is therefore raised as
    without workers. If there is no error (for example, the worker was killed), `lost` holds the reason and no worker is
    used from then on. The training can then save a checkpoint and stop.

    Args:
        count: number of worker processes.

    Raises:
        UserError: `count` is not a whole number, is too large for the machine, or processes cannot be forked.

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
        """The reason why workers are no longer used; None while they are."""

    def collated(self, batches: Sequence[list[int]], collate: Collate, *, pin: bool = False) -> Iterator[SequenceBatch]:
        """Collate each of these lists of indices, into pinned memory if `pin`."""
        done = 0
        if self.count and self.lost is None:
            for batch in self._ahead(batches, collate):
                done += 1
                yield tree_map(_pinned, batch) if pin else batch
        yield from map(collate, batches[done:])

    def _ahead(self, batches: Sequence[list[int]], collate: Collate) -> Iterator[SequenceBatch]:
        """The batches from workers, up to the first that they fail to collate."""
        fork = multiprocessing.get_context("fork")
        pool = ProcessPoolExecutor(self.count, mp_context=fork, initializer=_init_worker, initargs=(collate,))
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
                    pool.shutdown(wait=False)  # validation starts its own workers before the next epoch
                yield tree_map(_tensor, plain)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        self.lost = f"{type(failure).__name__}: {failure}"


_collate: Collate


def _init_worker(collate: Collate) -> None:
    """Initialize a worker process."""
    global _collate
    _collate = collate
    torch.set_num_threads(1)  # the thread pool of the parent does not exist in the fork
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the main process stops its workers
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # without this, workers would wait forever for a parent that was killed
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(batch: list[int]) -> SequenceBatch:
    return tree_map(_array, _collate(batch))  # type: ignore[no-any-return]


def _array(value: Any) -> Any:
    # Each tensor would be sent through its own shared file, which takes 0.2 ms. Batches of text and series are small,
    # and a pipe is faster for them.
    try:
        return value.numpy() if isinstance(value, Tensor) else value
    except TypeError:  # NumPy has no such type
        return value


def _tensor(value: Any) -> Any:
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def _pinned(value: Any) -> Any:
    return value.pin_memory() if isinstance(value, Tensor) else value
