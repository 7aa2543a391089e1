"""Language modeling: prediction of the next token."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from rnnkit.batch import IGNORED, SequenceBatch
from rnnkit.cells import map_state
from rnnkit.masks import valid_steps
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

    The training objective, logged as `train/loss`, can have two more terms. They penalize large outputs :math:`h` of
    the last layer (of width H, after dropout :math:`m`) and large changes of them (Merity et al. 2017,
    arXiv:1708.01009):

    .. math::
        L + \alpha \, \overline{(m_t \odot h_t)^2} + \beta \, \overline{(h_t - h_{t-1})^2}

    Logs `loss`, `perplexity` and `bits_per_<unit>` under `val/` and `test/`, over all tokens of the split, with the
    state carried from window to window.

    Args:
        model: see `StreamTask`; its outputs are logits [B, T, V].
        optimizer, schedule, clip: see `StreamTask`.
        unit: the kind of token: char, byte or word.
        activation_penalty, temporal_penalty: alpha and beta above; the bar is the mean over lanes, steps and H. If one
            is not 0, the model must have `features` and `output`, as `rnnkit.models.LanguageModel` does.
        lr_reference_steps: the window length that the learning rate refers to; the rate is scaled in proportion for
            other lengths. None does not scale it. Use it with windows of random length, whose short windows would
            otherwise have too much weight (Merity et al. 2018, arXiv:1708.02182).
    """

    kind = "language_modeling"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({"stream", "generate"})
    undefined: ClassVar[Mapping[str, str]] = {"perplexity": "it exceeds float64 (1.8e308); its logarithm is the loss"}
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
        lr_reference_steps: PositiveInt | None = None,
    ) -> None:
        super().__init__(model, optimizer, schedule, clip)
        self.unit = unit
        self.activation_penalty = activation_penalty
        self.temporal_penalty = temporal_penalty
        self.lr_reference_steps = lr_reference_steps
        self._rate_share = 1.0
        self.val_mean, self.test_mean = Mean(), Mean()
        self._tokens = 0.0  # of the last evaluation

    def loss(self, outputs: Tensor, batch: SequenceBatch) -> Tensor:
        total = F.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum")
        # under DDP the last window of a rank can be all padding: the loss is then 0, without a division by zero
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
        if self.lr_reference_steps is not None:
            self._rate_share = batch.inputs.shape[1] / self.lr_reference_steps

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        rates = [group["lr"] for group in optimizer.param_groups]
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * self._rate_share
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        # schedules continue from the rate that they set
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def metrics_from_loss(self, loss: float) -> dict[str, float]:
        return {"perplexity": perplexity(loss), f"bits_per_{self.unit}": loss / math.log(2)}

    def evaluate(self, loader: Iterable[SequenceBatch]) -> dict[str, float]:
        """See `Task.evaluate`. If the loader has `units`, also computes `bits_per_<unit>` for each of them.

        `loader.units` maps each unit to the length of the text in it, such as {"char": 399, "word": 80}. It includes
        the first token, which is not predicted.
        """
        found = super().evaluate(loader)
        bits = found["loss"] * self._tokens / math.log(2)
        units: Mapping[str, int] = getattr(loader, "units", {})
        return found | {f"bits_per_{unit}": bits / count for unit, count in units.items()}

    def generate(self, prompts: Sequence[Tensor], **options: Any) -> Iterator[Tensor]:
        """Yields the tokens that continue each of the prompts, one at a time; see `rnnkit.tasks.generate`."""
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
    """Returns the exponential of a loss in nats; infinity if it exceeds float64.

    >>> perplexity(0.0), perplexity(1000.0)
    (1.0, inf)
    """
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def _mean_square(values_BTH: Tensor, lengths_B: Tensor | None) -> Tensor:
    """Returns the mean square over the valid steps of all lanes; 0 if there are none."""
    B, T, H = values_BTH.shape
    if lengths_B is None:
        return values_BTH.square().sum() / max(1, B * T * H)
    steps_B = lengths_B.clamp(0, T)
    valid_BT1 = valid_steps(steps_B, T)[..., None]
    return values_BTH.masked_fill(~valid_BT1, 0).square().sum() / (steps_B.sum() * H).clamp(min=1)
