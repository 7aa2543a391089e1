"""Base class of all tasks: loss, metrics, predictions and capabilities."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from rnnkit.batch import SequenceBatch
from rnnkit.tasks.one_step import with_one_step
from rnnkit.tasks.optimized import Optimized

Metrics = Mapping[str, Literal["min", "max"] | None]
"""Metric names, each with the direction of improvement: "min", "max", or None where neither direction is better."""

Capability = Literal["predict", "generate", "stream"]
"""`predict`: the task predicts a result for each sequence (`Task.predict`). `generate`: it generates tokens that
continue a prompt (`generate`). `stream`: it carries the state from one window to the next."""


class Task(Optimized, ABC):
    """A model with its loss and its metrics.

    Each batch is a `SequenceBatch`. `loss` computes the loss of a batch, `update_metrics` adds a batch to the metrics,
    and `compute_metrics` computes them at the end of a split. `evaluate` does both for all batches of a loader.
    `predict` returns one prediction for each sequence. `capabilities` lists the optional features that a task supports.
    The command line checks `capabilities`, never the class.

    Args:
        model: called as `model(batch.inputs, lengths=batch.lengths)`.
        optimizer, schedule, clip: see `train_with`. None for a task that only predicts, receives them later, or defines
            `configure_optimizers` itself, as any LightningModule may.
    """

    model: Any
    undefined: ClassVar[Mapping[str, str]] = {}
    """For each metric that can be undefined, the reason; printed beside NaN."""
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    """The optional features of the task, besides training and evaluation."""
    kind: str
    """The name of the task. Data modules name the kind of task that they are for."""
    metrics: ClassVar[Metrics] = {}
    """The metrics that a validation can compute. `*` stands for a number or a word that depends on the settings. A
    monitor that is not listed here needs a `monitor_mode`."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None = None,
        schedule: Callable[[Optimizer, int], Any] | None = None,
        clip: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.train_with(optimizer, schedule, clip)
        self.clipping: tuple[Tensor, Tensor] | None = None
        """Norm of the last gradient before clipping, and whether it was clipped."""
        self.skipped_nonfinite = False
        """Whether the last step was skipped because its gradient was not finite."""
        self.carry: dict[str, Any] = {}
        """The initial state of the next window for each stage; empty for a task that does not stream."""

    def train_with(
        self,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None,
        schedule: Callable[[Optimizer, int], Any] | None = None,
        clip: nn.Module | None = None,
    ) -> None:
        """Sets what only training needs. `rnnkit.training.fit` builds the arguments from the configuration.

        Args:
            optimizer: called with the parameters; returns the optimizer.
            schedule: called with the optimizer and the total number of optimizer steps; returns any learning-rate
                scheduler configuration that Lightning accepts. None keeps the learning rate constant.
            clip: called with the parameters after each backward pass; changes their gradients in place and returns the
                gradient norm before clipping and whether it clipped. A step whose norm is not finite is skipped. None
                leaves the gradients unchanged.
        """
        self.optimizer, self.schedule, self.clip = optimizer, schedule, clip

    @abstractmethod
    def loss(self, outputs: Any, batch: SequenceBatch) -> Tensor:
        """Returns the mean loss over the valid targets of a batch."""

    @abstractmethod
    def update_metrics(self, batch: SequenceBatch, stage: str) -> None:
        """Adds one batch of `stage`, "val" or "test", to the metrics."""

    @abstractmethod
    def compute_metrics(self, stage: str) -> dict[str, float]:
        """Returns the metrics of all batches since the last call, by name, and resets them."""

    def begin(self, stage: str) -> None:
        """Called before the first batch of an evaluation under `stage`."""

    @torch.inference_mode()
    def evaluate(self, loader: Iterable[SequenceBatch]) -> dict[str, float]:
        """Returns the metrics under `test/` over all batches of a loader, on the task's device and in eval mode.

        >>> from rnnkit.cells import GRUCell
        >>> from rnnkit.models import LanguageModel
        >>> from rnnkit.tasks import LanguageModeling
        >>> task = LanguageModeling(LanguageModel(5, GRUCell, hidden_size=4), unit="char")
        >>> ids_BT = torch.tensor([[1, 2, 3, 4]])
        >>> list(task.evaluate([SequenceBatch(ids_BT, ids_BT)]))
        ['loss', 'perplexity', 'bits_per_char']
        """
        was_training = self.training
        self.train(False)
        try:
            self.begin("test")
            for batch in loader:
                self.update_metrics(batch.to(self.device), "test")
            return self.compute_metrics("test")
        finally:
            self.train(was_training)

    def metric_names(self) -> list[str]:
        """Returns the full names of the metrics that a validation computes with the present data and settings."""
        return [*self.metrics]

    def predict(self, batch: SequenceBatch) -> Sequence[Any]:
        """Returns a prediction for each sequence of a batch, a NamedTuple of `rnnkit.predictions`. Ignores targets."""
        raise NotImplementedError(f"{type(self).__name__} does not implement predict")

    def check_data(self, data: Any) -> None:
        """Checks that the model can be trained or evaluated on the data; called after the data are loaded.

        Raises:
            UserError: if it cannot.
        """

    def run_model(self, model: Any, batch: SequenceBatch, state: Any = None) -> Any:
        """Returns the outputs for training of `model`, the task's own or a copy of it, from a carried state."""
        return model(batch.inputs, lengths=batch.lengths)

    def step_loss(self, outputs: Any, batch: SequenceBatch, *, first: bool = False) -> Tensor:
        """Returns the loss of one step of each row alone, the last valid one or the first; `rnnkit.insight` follows its
        gradient through time. For one target for each sequence it is the loss.
        """
        return self.loss(outputs, with_one_step(batch, first=first))

    def report(self) -> str:
        """Returns a plain-text report of the last evaluation, or an empty string."""
        return ""

    def metrics_from_loss(self, loss: float) -> dict[str, float]:
        """Returns metrics that are functions of the mean loss, by name."""
        return {}

    def training_state_metrics(self) -> dict[str, float]:
        """Returns metrics of the current training state, by name, for the log."""
        return {}

    def training_step(self, batch: SequenceBatch, batch_idx: int) -> Tensor:
        return self.loss(self.model(batch.inputs, lengths=batch.lengths), batch)

    def validation_step(self, batch: SequenceBatch, batch_idx: int) -> None:
        self.update_metrics(batch, "val")

    def test_step(self, batch: SequenceBatch, batch_idx: int) -> None:
        self.update_metrics(batch, "test")

    def predict_step(self, batch: SequenceBatch, batch_idx: int = 0) -> Sequence[Any]:
        return self.predict(batch)

    def on_validation_epoch_start(self) -> None:
        self.begin("val")

    def on_test_epoch_start(self) -> None:
        self.begin("test")

    def on_validation_epoch_end(self) -> None:
        self._report("val")

    def on_test_epoch_end(self) -> None:
        self._report("test")

    def _report(self, stage: str) -> None:
        # during training the monitor logs them at the right optimizer step (Lightning's is one behind)
        logger = False if self.trainer.state.fn == TrainerFn.FITTING else None
        # Lightning would round a float to float32
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        metrics = {
            name: torch.tensor(value, dtype=dtype, device=self.device)
            for name, value in self.compute_metrics(stage).items()
        }
        self.log_dict({f"{stage}/{name}": value for name, value in metrics.items()}, logger=logger)
