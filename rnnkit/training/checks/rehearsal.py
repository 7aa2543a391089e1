"""What a run does first, tried before it begins, so that nothing of it is left."""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn

from rnnkit.batch import SequenceBatch
from rnnkit.tasks import Task

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
        """Take one batch of a validation into the metrics."""
        with torch.no_grad(), self._precision.forward_context():
            task.update_metrics(self._moved(batch), "val")

    def _moved(self, batch: SequenceBatch) -> Any:
        return self._precision.convert_input(move_data_to_device(batch, self._device))


@contextmanager
def preserving_state(task: Task, trainer: L.Trainer, *, weights: bool = False) -> Iterator[None]:
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
