"""Language modeling: how well a model foresees the next token."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnnkit.batch import IGNORED, SequenceBatch
from rnnkit.cells import map_state
from rnnkit.ranges import NonNegative, PositiveInt
from rnnkit.tasks.base import Capability, Metrics
from rnnkit.tasks.generation import generate
from rnnkit.tasks.metrics.mean import Mean
from rnnkit.tasks.streaming import StreamTask


class LanguageModeling(StreamTask):
    r"""Cross-entropy of the next token, in nats.

    .. math::
        L = -\frac{1}{N} \sum_n \ln p(w_n \mid w_{<n}), \qquad
        \mathrm{perplexity} = e^{L}, \qquad \mathrm{bits} = L / \ln 2

    What is minimized in training, and logged as `train/loss`, may have two more terms, which keep the last layer's
    outputs :math:`h` of width H small, after dropout :math:`m`, and slow (Merity et al. 2017, arXiv:1708.01009):

    .. math::
        L + \alpha \, \overline{(m_t \odot h_t)^2} + \beta \, \overline{(h_t - h_{t-1})^2}

    Logs `loss`, `perplexity` and `bits_per_<unit>` under `val/` and `test/`: over every token of the split, with the
    state carried from window to window.

    Args:
        model: see `StreamTask`; its outputs are logits [B, T, V].
        optimizer, schedule, clip: see `StreamTask`.
        unit: what a token is: char, byte or word.
        activation_penalty, temporal_penalty: alpha and beta above, the bar being the mean over lanes, steps and H;
            where one is not 0, the model must have `features` and `output`, as `rnnkit.models.LanguageModel` has.
        rate_steps: the learning rate is meant for windows of so many steps, and in proportion for others; None takes it
            as it is. For windows of random length, whose short ones would else weigh too much (Merity et al. 2018,
            arXiv:1708.02182).
    """

    kind = "language_modeling"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({"stream", "generate"})
    undefined: ClassVar[Mapping[str, str]] = {"perplexity": "it is beyond float64, 1.8e308; its logarithm is the loss"}
    metrics: ClassVar[Metrics] = {"loss": "min", "perplexity": "min", "bits_per_*": "min"}

    def __init__(
        self,
        model: nn.Module,
        optimizer: Callable[..., Any] | None = None,
        schedule: Callable[..., Any] | None = None,
        clip: nn.Module | None = None,
        unit: str = "token",
        activation_penalty: NonNegative = 0.0,
        temporal_penalty: NonNegative = 0.0,
        rate_steps: PositiveInt | None = None,
    ) -> None:
        super().__init__(model, optimizer, schedule, clip)
        self.unit = unit
        self.activation_penalty = activation_penalty
        self.temporal_penalty = temporal_penalty
        self.rate_steps = rate_steps
        self._rate_share = 1.0
        self.val_mean, self.test_mean = Mean(), Mean()
        self._tokens = 0.0  # of the split measured last

    def loss(self, outputs: Tensor, batch: SequenceBatch) -> Tensor:
        total = F.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum")
        # under DDP a rank's last window can be all padding: no tokens, no loss, and no division by zero
        return total / (batch.targets.numel() if batch.lengths is None else batch.lengths.sum().clamp(min=1))

    def run_window(self, batch: SequenceBatch, stage: str) -> Tensor:
        if stage != "train" or not (self.activation_penalty or self.temporal_penalty):
            return super().run_window(batch, stage)
        y_BTH, dropped_BTH, state = self.model.features(
            batch.inputs, self.carry.get(stage), lengths=batch.lengths, reset=batch.reset
        )
        self.carry[stage] = map_state(Tensor.detach, state)
        small = _mean_square(dropped_BTH, batch.lengths)
        slow = _mean_square(y_BTH[:, 1:] - y_BTH[:, :-1], None if batch.lengths is None else batch.lengths - 1)
        loss = self.loss(self.model.output(dropped_BTH), batch)
        return loss + self.activation_penalty * small + self.temporal_penalty * slow

    def on_train_batch_start(self, batch: SequenceBatch, batch_idx: int) -> None:
        if self.rate_steps is not None:
            self._rate_share = batch.inputs.shape[1] / self.rate_steps

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        rates = [group["lr"] for group in optimizer.param_groups]
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * self._rate_share
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        # Schedules go on from the rate that they set themselves.
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def metrics_from_loss(self, loss: float) -> dict[str, float]:
        return {"perplexity": perplexity(loss), f"bits_per_{self.unit}": loss / math.log(2)}

    def evaluate(self, loader: Iterable[SequenceBatch]) -> dict[str, float]:
        """See `Task`; with a loader that has `units`, `bits_per_<unit>` is that of the whole text, for each of these.

        * `loader.units`: how long the text of the loader is in each unit, such as {"char": 399, "word": 80}, its first
          token included, which nothing predicts.
        """
        found = super().evaluate(loader)
        bits = found["loss"] * self._tokens / math.log(2)
        units: Mapping[str, int] = getattr(loader, "units", {})
        return found | {f"bits_per_{unit}": bits / count for unit, count in units.items()}

    def generate(self, prompts: Sequence[Tensor], **options: Any) -> Iterator[Tensor]:
        """The tokens that follow each of some prompts, one after the other; see `rnnkit.tasks.generate`."""
        return generate(self.model, prompts, **options)

    def update_metrics(self, batch: SequenceBatch, stage: str) -> None:
        loss = self.run_window(batch, stage)
        count = batch.targets.numel() if batch.lengths is None else batch.lengths.sum()
        self._mean(stage).update(loss, count)

    def compute_metrics(self, stage: str) -> dict[str, float]:
        mean = self._mean(stage)
        loss, self._tokens = float(mean.compute()), float(mean.weight)
        mean.reset()
        return {"loss": loss, **self.metrics_from_loss(loss)}

    def metric_names(self) -> list[str]:
        return [name.replace("*", self.unit) for name in self.metrics]

    def _mean(self, stage: str) -> Mean:
        return self.val_mean if stage == "val" else self.test_mean


def perplexity(loss: float) -> float:
    """The exponential of a loss in nats; infinite where float64 does not hold it.

    >>> perplexity(0.0), perplexity(1000.0)
    (1.0, inf)
    """
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def _mean_square(values_BTH: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Over the valid steps of all lanes; 0 where there are none."""
    B, T, H = values_BTH.shape
    if lengths_B is None:
        return values_BTH.square().sum() / max(1, B * T * H)
    steps_B = lengths_B.clamp(0, T)
    valid_BT1 = (torch.arange(T, device=steps_B.device) < steps_B[:, None])[..., None]
    return values_BTH.masked_fill(~valid_BT1, 0).square().sum() / (steps_B.sum() * H).clamp(min=1)
