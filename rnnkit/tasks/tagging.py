"""Sequence tagging: a tag for each token of a sentence."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnnkit.batch import IGNORED, SequenceBatch
from rnnkit.predictions import TagPrediction
from rnnkit.tags import marks_entities
from rnnkit.tasks.base import Capability, Metrics, Task
from rnnkit.tasks.metrics.mean import Mean
from rnnkit.tasks.metrics.spans import UNSEEN, SpanCounts, scores
from rnnkit.tasks.metrics.table import table
from rnnkit.tasks.metrics.tags import TagCounts
from rnnkit.tasks.one_step import with_one_step


class Tagging(Task):
    r"""The negative log-likelihood of the tags, in nats per token.

    .. math:: L = -\frac{1}{N} \sum_{\mathrm{sentences}} \ln p(y_1 \dots y_T \mid w_1 \dots w_T)

    where p is the product of the softmax of each token, or the model's CRF. Tags that do not occur in training have no
    likelihood: their tokens, with a CRF their sentences, are left out of the loss. In all other metrics they are wrong.

    Logs under `val/` and `test/`: `loss`; `accuracy` over all tokens; `unknown_accuracy` over tokens whose word does
    not occur in training; under `test/` also `baseline_accuracy`, that of the most frequent tag of each word in
    training.
    If tags mark entities, it also logs their `precision`, `recall` and `f1`, over all types together, by the definition
    of conlleval (see `SpanCounts`).

    The inputs of its batches are `TokenInputs`; `TagExtra` holds the baseline.

    Args:
        model: maps inputs to scores [B, T, C], with `decode(scores, lengths)` and `crf`, as `rnnkit.models.Tagger`.
        optimizer, schedule, clip: see `Task`.
        tags: the tag names, in the order of their ids.
    """

    kind = "tagging"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({"predict"})
    undefined: ClassVar[Mapping[str, str]] = {"unknown_accuracy": "training saw every word of the split"}
    metrics: ClassVar[Metrics] = {
        "loss": "min",
        "accuracy": "max",
        "unknown_accuracy": "max",
        "precision": "max",
        "recall": "max",
        "f1": "max",
    }

    def __init__(
        self,
        model: nn.Module,
        optimizer: Callable[..., Any] | None = None,
        schedule: Callable[..., Any] | None = None,
        clip: nn.Module | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        super().__init__(model, optimizer, schedule, clip)
        self.tags = list(tags)
        self.marks_entities = marks_entities(self.tags)
        self.measured = nn.ModuleDict({stage: _SplitMetrics(self.tags) for stage in ("val", "test")})
        self._last: dict[str, Tensor] = {}

    def setup(self, stage: str) -> None:
        # before a checkpoint is restored, which may hold fine-tuned vectors
        vectors = getattr(getattr(self.trainer, "datamodule", None), "vectors", None)
        if stage == "fit" and vectors is not None:
            with torch.no_grad():
                self.model.vectors.weight.copy_(vectors)

    def loss(self, outputs: Tensor, batch: SequenceBatch) -> Tensor:
        if self.model.crf is not None:
            log_p_B: Tensor = self.model.crf.log_likelihood(outputs, batch.targets, batch.lengths)
            return -log_p_B.sum() / batch.num_valid_steps
        e_NC, tags_N = outputs.flatten(0, 1).float(), batch.targets.flatten()
        return F.cross_entropy(e_NC, tags_N, ignore_index=IGNORED, reduction="sum") / batch.num_valid_steps

    def step_loss(self, outputs: Any, batch: SequenceBatch, *, first: bool = False) -> Tensor:
        # a CRF has one loss for the whole sentence; its emissions are compared step by step
        targets_BT = with_one_step(batch, first=first).targets
        known_BT = targets_BT.masked_fill(targets_BT >= outputs.shape[-1], IGNORED)
        return F.cross_entropy(outputs.flatten(0, 1).float(), known_BT.flatten(), ignore_index=IGNORED, reduction="sum")

    def update_metrics(self, batch: SequenceBatch, stage: str) -> None:
        e_BTC = self.model(batch.inputs, lengths=batch.lengths)
        found_BT = self.model.decode(e_BTC, batch.lengths)
        self._take_loss(e_BTC, batch, stage)
        valid_BT = None if batch.lengths is None else batch.targets != IGNORED
        tokens = (batch.targets, found_BT, batch.inputs.words, batch.extra.most_frequent_tag)
        measured = self._measured(stage)
        measured.tags.update(*(ids.flatten() if valid_BT is None else ids[valid_BT] for ids in tokens))
        if self.marks_entities:
            measured.spans.update(batch.targets, found_BT, valid_BT)

    def _take_loss(self, e_BTC: Tensor, batch: SequenceBatch, stage: str) -> None:
        """Adds the loss, without tokens (with a CRF: sentences) whose tags do not occur in training."""
        unseen_BT = batch.targets >= len(self.tags)
        if self.model.crf is not None:
            unseen_BT = unseen_BT.any(1, keepdim=True).expand_as(unseen_BT) & (batch.targets != IGNORED)
            lengths_B = batch.lengths
            if lengths_B is None:
                lengths_B = batch.targets.new_full((len(e_BTC),), e_BTC.shape[1])
            batch = batch._replace(lengths=lengths_B.masked_fill(unseen_BT[:, 0], 0))
        named = batch._replace(targets=batch.targets.masked_fill(unseen_BT, IGNORED))
        tokens = batch.num_valid_steps - unseen_BT.sum()
        total = self.loss(e_BTC, named) * batch.num_valid_steps
        self._measured(stage).loss.update(total / tokens.clamp(min=1), tokens)

    def _measured(self, stage: str) -> "_SplitMetrics":
        return cast(_SplitMetrics, self.measured[stage])

    def compute_metrics(self, stage: str) -> dict[str, float]:
        measured = self._measured(stage)
        loss = measured.loss.compute()
        self._last = measured.tags.compute()
        if self.marks_entities:
            self._last["spans"] = measured.spans.compute().clone()
        for metric in (measured.loss, measured.tags, measured.spans):
            metric.reset()
        matrix_CC = self._last["confusion"]
        tokens = float(matrix_CC.sum())
        unknown, right = self._last["unknown"].tolist()
        found = {
            "loss": float(loss),
            "accuracy": float(matrix_CC.diagonal().sum()) / tokens,
            "unknown_accuracy": right / unknown if unknown else float("nan"),
        }
        if stage == "test":
            found["baseline_accuracy"] = float(self._last["baseline"]) / tokens
        if self.marks_entities:
            names = ("precision", "recall", "f1")
            found |= dict(zip(names, scores(self._last["spans"].sum(0)).tolist(), strict=True))
        return found

    def metric_names(self) -> list[str]:
        return [name for name in self.metrics if self.marks_entities or name not in ("precision", "recall", "f1")]

    def confusion(self) -> tuple[list[str], Tensor] | None:
        """Returns the tag names and the confusion matrix [C, C] of the last evaluation; rows are the true tags.

        One more row and column stand for tags that do not occur in training, if there are any.
        """
        if not self._last:
            return None
        matrix_CC = self._last["confusion"]
        if not bool(matrix_CC[-1].any()):
            return self.tags, matrix_CC[:-1, :-1]
        return [*self.tags, UNSEEN], matrix_CC

    def predict(self, batch: SequenceBatch) -> list[TagPrediction]:
        paths = self.model.decode(self.model(batch.inputs, lengths=batch.lengths), batch.lengths).tolist()
        lengths = [batch.shape[1]] * len(paths) if batch.lengths is None else batch.lengths.tolist()
        pairs = zip(paths, lengths, strict=True)
        return [TagPrediction([self.tags[i] for i in path[:length]]) for path, length in pairs]

    def report(self) -> str:
        found = self.confusion()
        if found is None:
            return ""
        names, matrix_CC = found
        tokens, unknown = int(matrix_CC.sum()), int(self._last["unknown"][0])
        baseline = float(self._last["baseline"]) / max(1, tokens)
        parts = [
            f"{tokens:,} tokens, {unknown:,} of them ({unknown / max(1, tokens):.2%}) of words that training never saw",
            f"baseline: the tag that each word has most often in training: accuracy {baseline:.4f}",
        ]
        if self.marks_entities:
            counts_K3 = self._last["spans"]
            kinds = [*(kind or "(no type)" for kind in self._measured("val").spans.kinds), UNSEEN][: len(counts_K3)]
            parts.append("entities: an entity is right if its type and all its words are")
            parts.append(_table("type", [*kinds, "all"], torch.cat([counts_K3, counts_K3.sum(0, keepdim=True)])))
        counts_C3 = torch.stack([matrix_CC.sum(1), matrix_CC.sum(0), matrix_CC.diagonal()], 1)
        return "\n".join([*parts, _table("tag", names, counts_C3)])


class _SplitMetrics(nn.Module):
    """The metrics of a split."""

    def __init__(self, tags: Sequence[str]) -> None:
        super().__init__()
        self.loss, self.tags, self.spans = Mean(), TagCounts(len(tags)), SpanCounts(tags)


def _table(what: str, names: Sequence[str], counts_K3: Tensor) -> str:
    """Returns a table with precision, recall, F1 and counts for each name."""
    head = [what, "precision", "recall", "f1", "there", "found"]
    rows: list[list[str | float | int]] = [
        [name, *(float(score) for score in scores(counts_3)), int(counts_3[0]), int(counts_3[1])]
        for name, counts_3 in zip(names, counts_K3.cpu(), strict=True)
    ]
    return table(head, rows)
