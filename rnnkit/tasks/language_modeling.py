"""Language modelling: how well a model foresees the next token."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch.nn.functional as F
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torchmetrics.aggregation import MeanMetric

from rnnkit.batch import IGNORED, SequenceBatch
from rnnkit.tasks.base import SequenceTask


class LanguageModeling(SequenceTask):
    r"""Cross-entropy of the next token, in nats.

    .. math::
        L = -\frac{1}{N} \sum_n \ln p(w_n \mid w_{<n}), \qquad
        \mathrm{perplexity} = e^{L}, \qquad \mathrm{bits} = L / \ln 2

    Logs `loss`, `perplexity` and `bits_per_<unit>` under `val/` and `test/`: over every token of the split, with the
    state carried from window to window.

    Args:
        model: see `SequenceTask`; its outputs are logits [B, T, V].
        optimizer, schedule, clip: see `SequenceTask`.
        unit: what a token is: char, byte or word.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Callable[..., Any],
        schedule: Callable[..., Any] | None = None,
        clip: nn.Module | None = None,
        unit: str = "token",
    ) -> None:
        super().__init__(model, optimizer, schedule, clip)
        self.unit = unit
        self.val_mean, self.test_mean = MeanMetric(), MeanMetric()

    def loss(self, outputs: Tensor, batch: SequenceBatch) -> Tensor:
        total = F.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum")
        # under DDP a rank's last window can be all padding: no tokens, no loss, and no division by zero
        return total / (batch.targets.numel() if batch.lengths is None else batch.lengths.sum().clamp(min=1))

    def derived(self, loss: float) -> dict[str, float]:
        return {"perplexity": math.exp(min(loss, 700.0)), f"bits_per_{self.unit}": loss / math.log(2)}

    def validation_step(self, batch: SequenceBatch, batch_idx: int) -> None:
        self._measure(batch, "val", self.val_mean)

    def test_step(self, batch: SequenceBatch, batch_idx: int) -> None:
        self._measure(batch, "test", self.test_mean)

    def on_validation_epoch_end(self) -> None:
        self._report("val", self.val_mean)

    def on_test_epoch_end(self) -> None:
        self._report("test", self.test_mean)

    def total_loss(self, windows: Iterable[SequenceBatch]) -> tuple[float, int]:
        """The loss summed over all the targets of some windows, in nats, and their number; the state is carried."""
        self.on_test_epoch_start()
        total, targets = 0.0, 0
        for batch in windows:
            count = batch.targets.numel() if batch.lengths is None else int(batch.lengths.sum())
            total += float(self.run_window(batch, "test")) * count
            targets += count
        return total, targets

    def _measure(self, batch: SequenceBatch, stage: str, mean: MeanMetric) -> None:
        loss = self.run_window(batch, stage)
        mean.update(loss, batch.targets.numel() if batch.lengths is None else batch.lengths.sum())

    def _report(self, stage: str, mean: MeanMetric) -> None:
        loss = float(mean.compute())
        mean.reset()
        figures = {"loss": loss, **self.derived(loss)}
        # during training the monitor writes them, at the optimiser step that they belong to (Lightning's is one behind)
        logger = False if self.trainer.state.fn == TrainerFn.FITTING else None
        self.log_dict({f"{stage}/{name}": value for name, value in figures.items()}, logger=logger)
