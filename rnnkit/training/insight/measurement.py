"""One measurement as a row of figures, the layers in turns."""

from typing import Any

from torch import Tensor, nn

from rnnkit.errors import UserError
from rnnkit.insight.context import context_used
from rnnkit.insight.labels import layer_labels
from rnnkit.training.insight import act
from rnnkit.training.insight.levels import Level
from rnnkit.training.insight.subject import Subject

PLACES = 16
"""The number of steps at which the loss is compared for the context used."""


class Due:
    """What a measurement needs from before the step.

    Args:
        step: the number of the step.
        carry: the state before the batch.
    """

    def __init__(self, step: int, carry: Any) -> None:
        self.step, self.carry = step, carry
        self.norms: dict[str, Tensor] = {}
        """The gradient norm of each cell before clipping."""
        self.weights: dict[str, list[Tensor]] = {}
        """The matrices of each cell before the step."""


def measure(
    subject: Subject, whole: Any, due: Due, level: Level, cells: dict[str, nn.Module]
) -> tuple[dict[str, Any], list[str]]:
    """Return the figures of a measurement, and the labels of all layers.

    Args:
        subject: the model.
        whole: the batch, of which the first rows are used.
        due: what was kept from before the step.
        level: how much is measured.
        cells: the cells of the model in training.
    """
    number = due.step // level.every
    batch, state = act.first_rows(whole, due.carry, level.rows)
    events, given, _ = act.observe_batch(subject, batch, state)
    labels = layer_labels(subject.twin, list(events))
    turns = list(events)
    if len(turns) > level.layers:
        start = number * level.layers % len(turns)
        turns = (turns + turns)[start : start + level.layers]
    dynamics = number > 0 and number % level.dynamics == 0
    events, given = act.last_steps(events, given, level.lags)
    layers = {
        labels[name]: act.layer_figures(
            subject, name, events[name], given[name], dynamics=dynamics, spectrum=dynamics and level.spectrum
        )
        for name in turns
    }
    after, changes = act.gradient_norms(cells), act.update_ratios(due.weights, cells)
    for kind, found in (("gradient_norm", due.norms), ("clipped_gradient_norm", after), ("update_ratio", changes)):
        for name, value in found.items():
            if name in labels and labels[name] in layers:
                layers[labels[name]][kind] = float(value)
    is_fresh = number in (2, 4, 8) or (number > 0 and number % 10 == 0)
    row = {
        "step": due.step,
        "window": batch.shape[1],
        "is_stream": "stream" in subject.task.capabilities,
        "layers": layers,
        "is_fresh": is_fresh,
    }
    return (row | _use(subject, batch, state) if is_fresh else row), list(labels.values())


def _use(subject: Subject, batch: Any, state: Any) -> dict[str, Any]:
    """Return how much the model uses of its context and of the carried state."""
    found: dict[str, Any] = {"carry_gain": act.carry_gain(subject, batch, state)}
    try:
        if "stream" in subject.task.capabilities:
            used = context_used(subject.twin, batch._replace(reset=None), state, places=PLACES).length()
            found |= {"context": used.steps, "context_is_censored": used.is_censored}
    except UserError:  # inputs of several tensors, or padding
        pass
    return found
