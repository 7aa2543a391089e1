"""Steps before a run begins that leave the run unchanged."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from rnnkit.batch import SequenceBatch
from rnnkit.tasks import Task

_SAME_WEIGHTS = ("32-true", "16-mixed", "bf16-mixed")
"""Precisions that leave the weights as they are."""


class DryRun:
    """A task on the device and in the precision of its trainer, which has not begun.

    Steps run on copies of the task. On a CPU they share its model, unless the precision changes the weights.
    """

    def __init__(self, task: Task, trainer: L.Trainer) -> None:
        self._precision: Any = trainer.precision_plugin
        self._device = trainer.strategy.root_device
        self.on_cpu = self._device.type == "cpu"
        self._whole: Any = task
        if not self.on_cpu or self._precision.precision not in _SAME_WEIGHTS:
            self._whole = self._precision.convert_module(copy.deepcopy(task)).to(self._device)
        self.model: nn.Module = self._whole.model

    def task(self, *, training: bool) -> Task:
        """Return a copy in training or evaluation mode, with separate metrics and a separate carry."""
        task: Task = copy.deepcopy(self._whole, {id(self.model): self.model})
        return task.train(training)

    def loss(self, task: Task, batch: SequenceBatch) -> Tensor:
        """Return the loss of a training step, with its graph."""
        with torch.enable_grad(), self._precision.forward_context():
            loss: Tensor = task.training_step(self._moved(batch), 0)
            return loss

    def validate(self, task: Task, batch: SequenceBatch) -> None:
        """Run a validation step."""
        with torch.no_grad(), self._precision.forward_context():
            task.update_metrics(self._moved(batch), "val")

    def _moved(self, batch: SequenceBatch) -> Any:
        return self._precision.convert_input(move_data_to_device(batch, self._device))


@contextmanager
def preserving_state(task: Task, *, weights: bool = False) -> Iterator[None]:
    """Restore random states, modes, buffers and gradients after the block, and with `weights` also the weights.

    Compiled kernels are kept.
    """
    modes = [(module, module.training) for module in task.modules()]
    gradients = [(parameter, parameter.grad) for parameter in task.parameters()]
    values = [*task.buffers(), *(task.parameters() if weights else [])]
    kept = [(value, value.detach().clone()) for value in values]
    with isolate_rng():
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
            for parameter, gradient in gradients:
                parameter.grad = gradient
            with torch.no_grad():
                for value, before in kept:
                    value.copy_(before)
