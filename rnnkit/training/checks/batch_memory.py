"""What a batch takes in memory, measured on a few of its lanes."""

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
"""Of a window that is tried; longer ones take memory in proportion."""


class BatchMemory(NamedTuple):
    """What training on a batch, or validating one, takes besides weights and what the optimizer keeps."""

    lanes: int
    """Of a whole batch, of all processes together."""
    steps: int
    """Of the longest batch."""
    growth: Growth
    """By the lanes of one process."""


def training_memory(rehearsal: Rehearsal, data: Any, processes: int, *, accumulating: bool) -> BatchMemory:
    """Of a training step on the longest batch: inputs, all that is kept for the backward pass, gradients.

    * `data`: after `setup`; their loader gives `rnnkit.data.Windows` or has, as `rnnkit.data.Batches`, a `longest`.
    * `processes`: those that share a batch.
    * `accumulating`: whether gradients of earlier batches are kept during the backward pass.

    Raises TypeError for other loaders, and whatever the task raises.
    """
    samples = _Samples(data, data.train_dataloader(), processes)
    with as_for_more_rows(samples.work / Growth.FEW[0]):
        rehearsal.loss(rehearsal.task(training=True), samples.few)  # what has to be compiled is, so that it is not seen
    courses = []
    for batch, count in zip((samples.few, samples.more), Growth.FEW, strict=True):
        task = rehearsal.task(training=True)
        weights = [parameter for parameter in task.parameters() if parameter.requires_grad]
        gradients = sum(weight.numel() * weight.element_size() for weight in weights)
        with as_for_more_rows(samples.work / count), _passed_on() as spares, LiveMemory() as memory:
            loss = rehearsal.loss(task, batch)
            forward = len(memory.course)
            torch.autograd.grad(loss, weights, allow_unused=True)
        # those of the step before are dropped between the forward and the backward pass
        older = [gradients if accumulating or n < forward else 0 for n in range(len(memory.course))]
        there = sum(spares) + (_size(batch) if rehearsal.on_cpu else 0)
        courses.append([alive + old + there for alive, old in zip(memory.course, older, strict=True)])
    return samples.memory(courses)


def validation_memory(rehearsal: Rehearsal, data: Any, processes: int) -> BatchMemory:
    """Of one batch of a validation; see `training_memory`."""
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
    """A few lanes of the longest batch, twice: as many as `Growth.FEW` says.

    `work` is how many lanes of that length are as much work as a process has: by that layers choose their engine.
    """

    def __init__(self, data: Any, loader: Any, processes: int) -> None:
        if hasattr(loader, "longest"):
            self.few, self.more = (loader.longest(count) for count in Growth.FEW)
            self.lanes, self.steps = loader.lanes, self.few.shape[1]
        else:
            window = next(iter(loader))
            if not isinstance(window, SequenceBatch) or window.reset is None:
                raise TypeError(f"{type(loader).__name__} gives no windows whose lanes can be told apart")
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
    """So many lanes of a window, some of them twice if need be, and its first steps."""
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
    """The sizes of the buffers that compiled loops would keep for the next step: here each is let go.

    So every operation takes what it needs anew, whatever the sizes of those before.
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
