"""Trial steps before a run, whose effects are undone."""

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
"""Precisions that keep the weights in float32."""


class Rehearsal:
    """A task on the device and in the precision of its run, for trial steps.

    Trial steps run on copies of the task that share its model and have their own metrics and carry. If the device is
    not the CPU, or the precision of the weights changes, the model is copied as well.

    Args:
        task: the task before it is passed to the trainer.
        trainer: the trainer of the run, before it starts.
    """

    def __init__(self, task: Task, trainer: L.Trainer) -> None:
        self._precision: Any = trainer.precision_plugin
        self._device = trainer.strategy.root_device
        self.on_cpu = self._device.type == "cpu"
        self._whole: Any = task
        if not self.on_cpu or self._precision.precision not in _SAME_WEIGHTS:
            self._whole = self._precision.convert_module(copy.deepcopy(task)).to(self._device)

    def task(self, *, training: bool) -> Task:
        """Return a copy of the task in training or evaluation mode."""
        model = self.model
        task: Task = copy.deepcopy(self._whole, {id(model): model})
        return task.train(training)

    @property
    def model(self) -> nn.Module:
        """Return the model that all copies share."""
        model: nn.Module = self._whole.model
        return model

    def loss(self, task: Task, batch: SequenceBatch) -> Tensor:
        """Return the loss of a training step, with its graph."""
        with torch.enable_grad(), self._precision.forward_context():
            loss: Tensor = task.training_step(self._moved(batch), 0)
            return loss

    def validate(self, task: Task, batch: SequenceBatch) -> None:
        """Add one batch of a validation to the metrics."""
        with torch.no_grad(), self._precision.forward_context():
            task.update_metrics(self._moved(batch), "val")

    def _moved(self, batch: SequenceBatch) -> Any:
        return self._precision.convert_input(move_data_to_device(batch, self._device))


@contextmanager
def preserving_state(task: Task, trainer: L.Trainer, *, weights: bool = False) -> Iterator[None]:
    """Restore random number generators, the model's modes, buffers and gradients at the end of the block.

    Args:
        task: the task.
        trainer: random numbers may be drawn on its device.
        weights: restore the weights too; a copy of them is kept in the meantime.

    Compiled loops of the model are kept: the run uses them.
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
