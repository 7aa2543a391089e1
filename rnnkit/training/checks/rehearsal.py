"""What a run does first, tried before it begins, so that nothing of it is left."""

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn

from rnnkit.batch import SequenceBatch
from rnnkit.cells.state import map_state
from rnnkit.engines import scanning
from rnnkit.tasks import Task
from rnnkit.training.checks.scans import each_scan, replaced

_SAME_WEIGHTS = ("32-true", "16-mixed", "bf16-mixed")
"""Precisions in which the weights stay what they are."""


class Rehearsal:
    """A task on the device and in the precision of its run, to try things on.

    What is tried is done by copies of the task that share its model, with metrics and a carry of their own. On another
    device than the CPU, and where the precision of the weights is to be another, the model is a copy as well.

    Args:
        task: as it will be given to the trainer.
        trainer: the run's, before it begins.
    """

    def __init__(self, task: Task, trainer: L.Trainer) -> None:
        self._precision: Any = trainer.precision_plugin
        self._device = trainer.strategy.root_device
        self.on_cpu = self._device.type == "cpu"
        self._whole: Any = task
        if not self.on_cpu or self._precision.precision not in _SAME_WEIGHTS:
            self._whole = self._precision.convert_module(copy.deepcopy(task)).to(self._device)

    def task(self, *, training: bool) -> Task:
        """A copy, in the mode of training or of validation."""
        model = self.model
        task: Task = copy.deepcopy(self._whole, {id(model): model})
        return task.train(training)

    @property
    def model(self) -> nn.Module:
        """The model that all copies share."""
        model: nn.Module = self._whole.model
        return model

    def loss(self, task: Task, batch: SequenceBatch) -> Tensor:
        """That of a training step, with its graph."""
        with torch.enable_grad(), self._precision.forward_context():
            loss: Tensor = task.training_step(self._moved(batch), 0)
            return loss

    def validate(self, task: Task, batch: SequenceBatch) -> None:
        """Take one batch of a validation into the figures."""
        with torch.no_grad(), self._precision.forward_context():
            task.measure(self._moved(batch), "val")

    def _moved(self, batch: SequenceBatch) -> Any:
        return self._precision.convert_input(move_data_to_device(batch, self._device))


@contextmanager
def untouched(task: Task, trainer: L.Trainer, *, weights: bool = False) -> Iterator[None]:
    """At the end the random numbers and the model's modes, buffers and gradients are what they were.

    * `trainer`: on whose device numbers may be drawn.
    * `weights`: they too, of which a copy is then held.

    What was compiled for the model stays compiled: the run finds it ready.
    """
    modules = list(task.modules())
    modes = [module.training for module in modules]
    parameters = list(task.parameters())
    gradients = [parameter.grad for parameter in parameters]
    values = [*task.buffers(), *(parameters if weights else [])]
    kept = [value.detach().clone() for value in values]
    device = trainer.strategy.root_device
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            with torch.no_grad():
                for value, before in zip(values, kept, strict=True):
                    value.copy_(before)


@contextmanager
def engines_of(lanes: int, *, tried: int) -> Iterator[None]:
    """Layers that are given `tried` lanes take the engine that they would take for `lanes`."""
    choose = scanning.choose

    def as_with_all(cell: Any, x_BTI: Tensor, state: Any, engine: str) -> str:
        if x_BTI.shape[1] == 1:
            return choose(cell, x_BTI, state, engine)
        rows = max(1, len(x_BTI) * lanes // tried)  # a model may lay its lanes out as several rows each

        def as_many(leaf: Tensor) -> Tensor:
            return leaf[:1].expand(rows, *leaf.shape[1:])

        return choose(cell, as_many(x_BTI), map_state(as_many, state), engine)

    with replaced(scanning, "choose", as_with_all):
        yield


@contextmanager
def noted_scans(note: Callable[[Any], AbstractContextManager[None]]) -> Iterator[None]:
    """Every layer over time runs within what `note` gives for its cell."""

    def noted(scan: Callable[..., Any]) -> Callable[..., Any]:
        def noting(cell: Any, *arguments: Any, **options: Any) -> Any:
            with note(cell):
                return scan(cell, *arguments, **options)

        return noting

    with each_scan(noted):
        yield
