"""Sequence classification: one class for each sequence."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnnkit.batch import IGNORED, SequenceBatch
from rnnkit.errors import UserError
from rnnkit.predictions import ClassPrediction
from rnnkit.ranges import Fraction, NonNegative
from rnnkit.tasks.base import Capability, Metrics, Task
from rnnkit.tasks.metrics.bootstrap import intervals
from rnnkit.tasks.metrics.classes import class_metrics, f1
from rnnkit.tasks.metrics.gathered import Gathered
from rnnkit.tasks.metrics.table import table


class Classification(Task):
    r"""Cross-entropy of the class of a sequence, in nats, with class weights and label smoothing.

    .. math::
        L = -\frac{\sum_n \alpha_{c_n} \sum_k q_{nk} \ln p_{nk}}{\sum_n \alpha_{c_n}}, \qquad
        q_{nk} = (1 - \epsilon) [k = c_n] + \frac{\epsilon}{C}

    (label smoothing: Szegedy et al. 2016, arXiv:1512.00567). `balanced` weights are
    :math:`\alpha_k = N / (C n_k)`, so that rare classes count as much as frequent ones.

    A validation logs `loss` (plain cross-entropy), `accuracy` and `macro_f1` (the mean F1 of the classes). Under
    `test/`, `rnnkit evaluate` also reports `auroc`, `auprc` (with two classes those of the second class, with more the
    means over classes) and `calibration_error`. `report` adds 95 % intervals, a baseline that always predicts the most
    frequent class of the training split, and a line for each class.

    Args:
        model: maps inputs to logits [B, C]; see `Task`.
        optimizer, schedule, clip: see `Task`.
        classes: the class names, in the order of their ids.
        counts: the number of training sequences of each class.
        class_weights: "none", "balanced", or a weight for each class.
        label_smoothing: epsilon, in [0, 1).

    Raises:
        UserError: if `class_weights` is invalid or does not fit the classes, or `label_smoothing` is out of range.
    """

    kind = "classification"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({"predict"})
    undefined: ClassVar[Mapping[str, str]] = {
        "auroc": "the split has sequences of one class only",
        "auprc": "the split has sequences of one class only",
    }
    metrics: ClassVar[Metrics] = {"loss": "min", "accuracy": "max", "macro_f1": "max"}
    class_weights: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        optimizer: Callable[..., Any] | None = None,
        schedule: Callable[..., Any] | None = None,
        clip: nn.Module | None = None,
        classes: Sequence[str] = (),
        counts: Sequence[int] = (),
        class_weights: Literal["none", "balanced"] | Sequence[NonNegative] | None = "none",
        label_smoothing: Fraction = 0.0,
    ) -> None:
        super().__init__(model, optimizer, schedule, clip)
        if not 0 <= label_smoothing < 1:
            got = str(label_smoothing)
            raise UserError("task.label_smoothing", "a number in [0, 1)", got, fix="task.label_smoothing=0.1")
        if getattr(model, "pooling", model) is None:
            expected = "a pooling method, for one class per sequence"
            raise UserError("model.pooling", expected, "null", fix="model.pooling=last")
        self.classes = [str(name) for name in classes]
        self.counts = list(counts)
        self.label_smoothing = label_smoothing
        self.register_buffer("class_weights", _weights(class_weights, self.counts, self.classes), persistent=False)
        self.val_rows, self.test_rows = Gathered(), Gathered()
        self._measured: tuple[Tensor, Tensor] | None = None

    def loss(self, outputs: Tensor, batch: SequenceBatch) -> Tensor:
        weights_C, how = self.class_weights, "mean" if self.class_weights is None else "sum"
        loss = F.cross_entropy(
            outputs.float(),
            batch.targets,
            weights_C,
            ignore_index=IGNORED,
            reduction=how,
            label_smoothing=self.label_smoothing,
        )
        if weights_C is None:
            return loss
        # all classes of a batch may have weight 0
        weights_B = weights_C[batch.targets.clamp(min=0)].masked_fill(batch.targets == IGNORED, 0)
        return loss / weights_B.sum().clamp(min=torch.finfo(weights_B.dtype).tiny)

    def update_metrics(self, batch: SequenceBatch, stage: str) -> None:
        logits_BC = self.model(batch.inputs, lengths=batch.lengths).float()
        rows = torch.cat([logits_BC, batch.targets[:, None].float()], dim=1)
        self._rows(stage).update(rows[batch.targets != IGNORED])

    def compute_metrics(self, stage: str) -> dict[str, float]:
        gathered = self._rows(stage)
        rows = gathered.compute()
        gathered.reset()
        self._measured = (rows[:, :-1].log_softmax(dim=1), rows[:, -1].long())
        metrics = class_metrics(*self._measured, in_full=stage == "test")(torch.ones(1, len(rows)))
        return {name: float(values_R[0]) for name, values_R in metrics.items()}

    def confusion(self) -> tuple[list[str], Tensor] | None:
        """Returns the class names and the confusion matrix [C, C] of the last evaluation; rows are the true classes."""
        if self._measured is None:
            return None
        log_p_NC, truth_N = self._measured
        C = log_p_NC.shape[1]
        return self._names(C), (truth_N * C + log_p_NC.argmax(dim=1)).bincount(minlength=C * C).view(C, C)

    def predict(self, batch: SequenceBatch) -> list[ClassPrediction]:
        return self.answers(self.model(batch.inputs, lengths=batch.lengths))

    def answers(self, outputs_BC: Tensor) -> list[ClassPrediction]:
        """Returns the predictions for outputs of the model."""
        p_BC = outputs_BC.float().softmax(dim=1)
        labels = p_BC.argmax(dim=1).tolist()
        return [ClassPrediction(*pair) for pair in zip(labels, p_BC.tolist(), strict=True)]

    def report(self) -> str:
        found = self.confusion()
        if found is None or self._measured is None:
            return ""
        names, matrix_CC = found
        log_p_NC, truth_N = self._measured
        metrics = class_metrics(log_p_NC, truth_N)
        values = metrics(torch.ones(1, len(truth_N)))
        ends = intervals(metrics, len(truth_N))
        parts = ["95 % intervals, by 1,000 bootstrap resamples of the sequences"]
        parts.append(table(["metric", "value", "from", "to"], [[k, float(v), *ends[k]] for k, v in values.items()]))
        if self.counts:
            usual = max(range(len(self.counts)), key=self.counts.__getitem__)
            right = float((truth_N == usual).double().mean())
            parts.append(f"baseline: always {names[usual]}, the most frequent class in training: accuracy {right:.4f}")
        hits_C, truth_C, chosen_C = matrix_CC.diagonal(), matrix_CC.sum(dim=1), matrix_CC.sum(dim=0)
        shares = (hits_C / chosen_C, hits_C / truth_C, f1(hits_C, truth_C, chosen_C), truth_C)
        columns = (share_C.tolist() for share_C in shares)
        parts.append(table(["class", "precision", "recall", "f1", "sequences"], [*zip(names, *columns, strict=True)]))
        return "\n\n".join(parts)

    def _rows(self, stage: str) -> Gathered:
        return self.val_rows if stage == "val" else self.test_rows

    def _names(self, count: int) -> list[str]:
        return self.classes or [str(index) for index in range(count)]


def _weights(given: Any, counts: list[int], classes: list[str]) -> Tensor | None:
    if given is None or given == "none":
        return None
    fix = "task.class_weights=balanced"
    if given == "balanced":
        return sum(counts) / (len(counts) * torch.tensor(counts).clamp(min=1).float())
    if isinstance(given, str):
        raise UserError("task.class_weights", "none, balanced or a list of numbers", repr(given), fix=fix)
    weights = [float(weight) for weight in given]
    if len(weights) != len(classes) or not all(0 <= weight < math.inf for weight in weights) or max(weights) == 0:
        expected = f"a number, 0 or more, for each of {len(classes)} classes: {', '.join(classes)}"
        raise UserError("task.class_weights", expected, str(weights), fix=fix)
    return torch.tensor(weights)
