"""Errors worth looking at: the most surprising tokens of a text, and the sequences with the largest loss."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from rnnkit.batch import IGNORED, SequenceBatch
from rnnkit.insight.record import evaluating
from rnnkit.training.insight.subject import Subject
from rnnkit.training.inspection.material import Material

WORST = 20
"""The number of errors."""


def surprises(subject: Subject, given: Material) -> list[dict[str, Any]]:
    """Return the most surprising tokens of the shown text, with what was expected."""
    shown, ticks = given.shown, given.ticks or []
    logits = subject.task.run_model(subject.twin, shown)[0]
    losses_T = F.cross_entropy(logits, shown.targets[0], ignore_index=IGNORED, reduction="none")
    log_p, expected = logits.log_softmax(-1).max(-1)
    by_id = {int(token): tick for token, tick in zip(shown.inputs[0].tolist(), ticks, strict=True)}
    rows = []
    for t in losses_T.argsort(descending=True)[:WORST].tolist():
        rows.append(
            {
                "step": t + 1,
                "text before": "".join(ticks[max(0, t - 30) : t + 1]),
                "token": by_id.get(int(shown.targets[0, t]), f"id {int(shown.targets[0, t])}"),
                "surprise (nats)": round(float(losses_T[t]), 3),
                "expected": by_id.get(int(expected[t]), f"id {int(expected[t])}"),
                "its probability": round(float(log_p[t].exp()), 3),
            }
        )
    return rows


def worst_rows(subject: Subject, given: Material) -> list[dict[str, Any]]:
    """Return the sequences of the batch with the largest loss, with their predictions."""
    task, batch = subject.task, given.batch
    losses = []
    for row in range(batch.shape[0]):
        one = batch.take(torch.tensor([row], device=batch.targets.device))
        losses.append(float(_loss(subject, one)))
    order = sorted(range(len(losses)), key=lambda row: -losses[row])[:WORST]
    with evaluating(task):
        predictions = task.predict(batch) if "predict" in task.capabilities else [None] * len(losses)
    return [
        {
            "sequence": row,
            "loss": round(losses[row], 4),
            "target": _short(batch.targets[row].tolist()),
            "prediction": _short(predictions[row]),
        }
        for row in order
    ]


def _loss(subject: Subject, batch: SequenceBatch) -> Tensor:
    outputs = subject.task.run_model(subject.twin, batch)
    if isinstance(outputs, tuple) and hasattr(subject.twin, "teacher_forced"):
        parameters, targets = outputs
        return subject.task.loss(parameters, batch._replace(targets=targets))
    return subject.task.loss(outputs, batch)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 120 else f"{text[:117]}..."
