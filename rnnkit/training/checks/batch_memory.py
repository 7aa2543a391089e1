"""The memory that a batch needs, measured with a few of its rows."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnnkit.batch import SequenceBatch
from rnnkit.compat.torch import tree_leaves
from rnnkit.data.corpus.window_lengths import SPREAD
from rnnkit.engines.compiled.plan.products import BUFFERS
from rnnkit.engines.policy import as_for_more_rows
from rnnkit.training.checks.live_memory import Growth, LiveMemory
from rnnkit.training.checks.rehearsal import Rehearsal

MOST_STEPS = 64
"""The number of steps that are measured; longer windows need memory in proportion."""


class BatchMemory(NamedTuple):
    """The memory that training on a batch, or validating one, needs besides weights and optimizer state."""

    lanes: int
    """The lanes of a whole batch, over all processes."""
    steps: int
    """The number of steps of the longest batch."""
    growth: Growth
    """The memory as a function of the lanes of one process."""


def training_memory(rehearsal: Rehearsal, data: Any, processes: int, *, accumulating: bool) -> BatchMemory:
    """Measure a training step on the longest batch: inputs, saved tensors of the backward pass, gradients.

    Args:
        rehearsal: the task on its device.
        data: after `setup`; its loader yields `rnnkit.data.Windows` or, like `rnnkit.data.Batches`, has `longest`.
        processes: the number of processes that share a batch.
        accumulating: whether gradients of earlier batches are in memory during the backward pass.

    Raises:
        TypeError: for other loaders; errors of the task are raised as they are.
    """
    samples = _Samples(data, data.train_dataloader(), processes)
    with as_for_more_rows(samples.work / Growth.FEW[0]):
        rehearsal.loss(rehearsal.task(training=True), samples.few)  # compiles, so that compilation is not measured
    courses = []
    for batch, count in zip((samples.few, samples.more), Growth.FEW, strict=True):
        task = rehearsal.task(training=True)
        weights = [parameter for parameter in task.parameters() if parameter.requires_grad]
        gradients = sum(weight.numel() * weight.element_size() for weight in weights)
        with as_for_more_rows(samples.work / count), _passed_on() as spares, LiveMemory() as memory:
            loss = rehearsal.loss(task, batch)
            forward = len(memory.course)
            torch.autograd.grad(loss, weights, allow_unused=True)
        # gradients of the previous step are freed between the forward and the backward pass
        older = [gradients if accumulating or n < forward else 0 for n in range(len(memory.course))]
        there = sum(spares) + (_size(batch) if rehearsal.on_cpu else 0)
        courses.append([alive + old + there for alive, old in zip(memory.course, older, strict=True)])
    return samples.memory(courses)


def validation_memory(rehearsal: Rehearsal, data: Any, processes: int) -> BatchMemory:
    """Measure one validation batch; see `training_memory`."""
    samples = _Samples(data, data.val_dataloader(), processes)
    with as_for_more_rows(samples.work / Growth.FEW[0]):
        rehearsal.validate(rehearsal.task(training=False), samples.few)
    courses = []
    for batch, count in zip((samples.few, samples.more), Growth.FEW, strict=True):
        task = rehearsal.task(training=False)
        with as_for_more_rows(samples.work / count), _passed_on() as spares, LiveMemory() as memory:
            rehearsal.validate(task, batch)
        there = sum(spares) + (_size(batch) if rehearsal.on_cpu else 0)
        courses.append([alive + there for alive in memory.course])
    return samples.memory(courses)


class _Samples:
    """Two small batches of the longest sequences, with the numbers of rows in `Growth.FEW`.

    `work` is the number of rows of that length that are as much work as the batch of a process. Layers choose their
    engine by it.
    """

    def __init__(self, data: Any, loader: Any, processes: int) -> None:
        if hasattr(loader, "longest"):
            self.few, self.more = (loader.longest(count) for count in Growth.FEW)
            self.lanes, self.steps = loader.lanes, self.few.shape[1]
        else:
            window = next(iter(loader))
            if not isinstance(window, SequenceBatch) or window.reset is None:
                raise TypeError(f"{type(loader).__name__} yields no windows with lanes")
            self.few, self.more = (_cut(window, count) for count in Growth.FEW)
            self.lanes, self.steps = window.shape
            if getattr(data, "random_steps", False):
                self.steps = max(self.steps, data.bptt_steps + round(3 * SPREAD))
        self.scale = self.steps / self.few.shape[1]
        self.work = max(1, round(-(-self.lanes // processes) * self.scale))

    def memory(self, courses: list[list[int]]) -> BatchMemory:
        few, more = courses
        return BatchMemory(self.lanes, self.steps, Growth(few, more, scale=self.scale))


def _cut(window: SequenceBatch, count: int) -> SequenceBatch:
    """Return `count` lanes of a window, repeating some if there are fewer, and its first steps."""
    taken = window.take(torch.arange(count) % window.shape[0])
    cut = taken._replace(inputs=taken.inputs[:, :MOST_STEPS], targets=taken.targets[:, :MOST_STEPS])
    if taken.lengths is None:
        return cut
    lengths = taken.lengths.clamp(max=MOST_STEPS)
    return cut._replace(lengths=lengths, num_steps=int(lengths.sum()))


def _size(batch: SequenceBatch) -> int:
    return sum(leaf.numel() * leaf.element_size() for leaf in tree_leaves(batch) if isinstance(leaf, Tensor))


@contextmanager
def _passed_on() -> Iterator[list[int]]:
    """Collect the sizes of the buffers that compiled loops would keep for the next step, and free the buffers.

    Each operation then allocates what it needs, whatever the sizes of the operations before it.
    """
    sizes: list[int] = []

    def give(tensors: Iterable[Tensor], used: Iterable[Tensor | None]) -> None:
        kept = {tensor.untyped_storage().data_ptr() for tensor in used if tensor is not None}
        for storage in (tensor.untyped_storage() for tensor in tensors):
            if storage.data_ptr() not in kept:
                kept.add(storage.data_ptr())
                sizes.append(storage.nbytes())
        del sizes[: -BUFFERS.MOST]

    BUFFERS.clear()
    BUFFERS.give = give  # type: ignore[method-assign]
    try:
        yield sizes
    finally:
        del BUFFERS.give
