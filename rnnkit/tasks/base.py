"""What every task shares: the loss of a batch, the metrics of a split, predictions, and what the task can do."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import lightning as L
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from rnnkit.batch import SequenceBatch
from rnnkit.compat.lightning import CURRENT_HOOK
from rnnkit.errors import UserError

Metrics = Mapping[str, Literal["min", "max"] | None]
"""Names of metrics, each with the direction in which it gets better: "min", "max", or None where neither is better."""

Capability = Literal["predict", "generate", "stream"]
"""predict: something of each sequence (`Task.predict`). generate: tokens that follow a prompt (`generate`). stream:
windows whose state is carried from one to the next."""


class Task(L.LightningModule, ABC):
    """A model with a loss and the metrics by which it is judged.

    Each batch is a `SequenceBatch`. A task gives the `loss` of a batch, takes a batch into its metrics
    (`update_metrics`) and computes them once a split is through (`compute_metrics`); `evaluate` does both for all
    batches of a loader. `predict` gives what a user wants of each sequence. `capabilities` states which of the optional
    parts are there: the command line asks for these, never for the class.

    Args:
        model: called as `model(batch.inputs, lengths=batch.lengths)`.
        optimizer, schedule, clip: see `train_with`; None for a task that only predicts, and for one that is given them
            later or defines `configure_optimizers` itself, as any LightningModule may.
    """

    model: Any
    undefined: ClassVar[Mapping[str, str]] = {}
    """Why a metric can be without a value, by its name; for messages beside NaN."""
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    """What the task can do beside training and evaluation."""
    kind: str
    """The name of the task's configuration, by which data say what they are for."""
    metrics: ClassVar[Metrics] = {}
    """What a validation may measure. `*` stands for a number or a word that the settings decide. A monitor that a task
    does not state needs a `monitor_mode`."""

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
        """Whether a gradient that was not finite has been dropped, and its step not taken."""
        self.carry: dict[str, Any] = {}
        """For each stage the state that the next window begins with; empty for a task that does not stream."""

    def train_with(
        self,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None,
        schedule: Callable[[Optimizer, int], Any] | None = None,
        clip: nn.Module | None = None,
    ) -> None:
        """Set what only training needs; `rnnkit.training.fit` builds it from the configuration.

        * `optimizer`: called with the parameters; returns the optimizer.
        * `schedule`: called with the optimizer and the number of its steps; returns what Lightning takes for a
          learning-rate scheduler. None keeps the learning rate.
        * `clip`: called with the parameters after each backward pass; changes their gradients in place and returns the
          norm of the gradient before and whether it was changed. A step whose norm is not finite is not taken. None
          leaves the gradients alone.
        """
        self.optimizer, self.schedule, self.clip = optimizer, schedule, clip

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes which hook it is in, fifty times a step; a module looks long whether that is a parameter
        if name == CURRENT_HOOK:
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @abstractmethod
    def loss(self, outputs: Any, batch: SequenceBatch) -> Tensor:
        """The mean loss over the valid targets of a batch."""

    @abstractmethod
    def update_metrics(self, batch: SequenceBatch, stage: str) -> None:
        """Takes one batch of `stage`, "val" or "test", into the metrics."""

    @abstractmethod
    def compute_metrics(self, stage: str) -> dict[str, float]:
        """The metrics of all batches measured since the last call, by name; they are forgotten then."""

    def begin(self, stage: str) -> None:
        """Called before the first batch of an evaluation under `stage`."""

    @torch.inference_mode()
    def evaluate(self, loader: Iterable[SequenceBatch]) -> dict[str, float]:
        """The metrics under `test/` over all batches of a loader, on the device of the task and in eval mode.

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
        """Which of `metrics` a validation measures with these data and settings, by their full names."""
        return [*self.metrics]

    def predict(self, batch: SequenceBatch) -> Sequence[Any]:
        """What is predicted of each sequence of a batch, a NamedTuple of `rnnkit.predictions`; targets are not read."""
        raise NotImplementedError(f"{type(self).__name__} makes no predictions")

    def check_data(self, data: Any) -> None:
        """UserError for data that the model cannot be trained or evaluated on; called once they are read."""

    def report(self) -> str:
        """More on the split measured last than fits into metrics: a table in plain text, or nothing."""
        return ""

    def metrics_from_loss(self, loss: float) -> dict[str, float]:
        """Other metrics that follow from a mean loss, by name; the task's own words for it."""
        return {}

    def training_state_metrics(self) -> dict[str, float]:
        """MetricsOfWeights on the state of training now, by name, for the log."""
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

    def configure_optimizers(self) -> Any:
        if self.optimizer is None:
            fix = "optimizer=functools.partial(torch.optim.AdamW, lr=3e-3)"
            raise UserError("optimizer", "a callable that makes one of the parameters", "None", fix=fix)
        optimizer = self.optimizer(self.model.parameters())
        if self.schedule is None:
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": self.schedule(optimizer, steps)}

    def configure_gradient_clipping(self, optimizer: Optimizer, *_: Any, **__: Any) -> None:
        if self.clip is None:
            return
        trained = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        self.clipping = self.clip(trained)
        # a scaler of float16 gradients looks for itself, and skips steps in the ordinary course of things
        if getattr(self.trainer.precision_plugin, "scaler", None) is None and not bool(self.clipping[0].isfinite()):
            self.skipped_nonfinite = True
            for parameter in self.model.parameters():
                parameter.grad = None  # which every optimizer passes over

    def _report(self, stage: str) -> None:
        # during training the monitor writes them, at the optimizer step that they belong to (Lightning's is one behind)
        logger = False if self.trainer.state.fn == TrainerFn.FITTING else None
        # Lightning would round a float to float32
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        metrics = {
            name: torch.tensor(value, dtype=dtype, device=self.device)
            for name, value in self.compute_metrics(stage).items()
        }
        self.log_dict({f"{stage}/{name}": value for name, value in metrics.items()}, logger=logger)
