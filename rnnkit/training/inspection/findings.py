"""Everything that is measured of a run."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rnnkit.batch import SequenceBatch
from rnnkit.cells.state import map_state
from rnnkit.engines import ScanEvent
from rnnkit.errors import UserError
from rnnkit.insight.attribution import Attribution, attribute
from rnnkit.insight.context import ContextUsed, context_used
from rnnkit.insight.exponents import of_scan as exponents_of_scan
from rnnkit.insight.flow import Flow, by_lag, memory_length
from rnnkit.insight.labels import layer_labels
from rnnkit.insight.memory import Memory, probe_states
from rnnkit.insight.record import valid_lengths
from rnnkit.insight.replay import replay
from rnnkit.insight.saturation import Saturation, Values, measured
from rnnkit.insight.saturation import of_scan as activations_of_scan
from rnnkit.insight.steps import observed, states_after
from rnnkit.insight.twin import shared_twin
from rnnkit.insight.units import Match, match_units
from rnnkit.insight.vectors import to_vector, unit_names
from rnnkit.tasks import Task
from rnnkit.training.insight.act import observe_batch
from rnnkit.training.insight.subject import Subject
from rnnkit.training.inspection.errors import surprises, worst_rows
from rnnkit.training.inspection.material import Material, readable

ATTRIBUTED = 100
"""The most steps whose attribution is computed."""
STRONG, SURE = 0.7, 0.01
"""The correlation and the p-value from which a unit is said to follow a feature."""


@dataclass
class Findings:
    """What was found in a run. Everything by layer is by its label, `layer1` and so on.

    Args:
        flows: gradients through time.
        memories: what can be read from the state.
        exponents: the largest Lyapunov exponent of each row.
        saturations: gates, dead units and the size of the state.
        units: [T, S] the states of each layer over the shown sequence.
        unit_names: the names of its units.
        gates: the gates of each layer over the shown sequence.
        matches: for each feature the unit that follows it best, of each layer.
        context: the loss by the context, where it can be computed.
        attribution: of the output at the last of the first `ATTRIBUTED` steps of the shown sequence.
        errors: the worst steps or sequences.
        notes: what could not be measured, and why.
    """

    flows: dict[str, Flow] = field(default_factory=dict)
    memories: dict[str, Memory] = field(default_factory=dict)
    exponents: dict[str, Tensor] = field(default_factory=dict)
    saturations: dict[str, Saturation] = field(default_factory=dict)
    units: dict[str, Tensor] = field(default_factory=dict)
    unit_names: dict[str, list[str]] = field(default_factory=dict)
    gates: dict[str, Values] = field(default_factory=dict)
    matches: dict[str, list[Match]] = field(default_factory=dict)
    context: ContextUsed | None = None
    attribution: Attribution | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def attempt(self, what: str, measure: Any) -> None:
        """Measure something; note the reason if it cannot be measured."""
        try:
            measure()
        except UserError as error:
            self.notes.append(f"no {what}: {error}")

    def summary(self) -> dict[str, Any]:
        """Return the figures of each layer, as JSON values."""
        layers = {}
        for label, flow in self.flows.items():
            reach, gates = memory_length(flow), self.saturations[label].gates
            layers[label] = {
                "memory length (steps)": reach.steps,
                "memory length is at least that": reach.is_censored,
                "Lyapunov exponent (nats a step)": float(self.exponents[label].mean()),
                "Lyapunov exponent, lowest row": float(self.exponents[label].min()),
                "Lyapunov exponent, highest row": float(self.exponents[label].max()),
                "lags read from the state": _lags_read(self.memories.get(label)),
                "dead units (share)": self.saturations[label].dead,
                "state norm (RMS)": self.saturations[label].state_norm,
                **{f"gate {name}: saturated (share)": one.open + one.closed for name, one in gates.items()},
            }
        return layers


def inspect_task(task: Task, given: Material) -> Findings:
    """Measure a task's model."""
    found = Findings()
    subject = Subject(task, shared_twin(task.model))
    _through_time(found, subject, given)
    _along_the_sequence(found, subject, given)
    if "stream" in task.capabilities:  # the steps of a sequence have no loss of their own
        found.attempt("context", lambda: _context(found, subject, given))
    found.attempt("attribution", lambda: _attribution(found, subject, given))
    with torch.no_grad():
        found.errors = surprises(subject, given) if "generate" in task.capabilities else worst_rows(subject, given)
    return found


def _through_time(found: Findings, subject: Subject, given: Material) -> None:
    events, cotangents, _ = observe_batch(subject, given.batch, None)
    labels = layer_labels(subject.twin, list(events))
    inputs = readable(given.batch.inputs)
    inputs = inputs.nan_to_num() if inputs.is_floating_point() else inputs
    for name, event in events.items():
        label = labels[name]
        gradients = replay(event, cotangents[name])
        found.flows[label] = Flow(by_lag(event, gradients.state), event.reverse)
        found.exponents[label] = exponents_of_scan(_rows(event, 4), _first(gradients.states, 4))[:, 0]
        found.saturations[label] = measured(activations_of_scan(event, gradients.states))

        def probe(event: ScanEvent = event, states: Any = gradients.states, label: str = label) -> None:
            vectors_BTS, lengths_B = to_vector(states, axes=2), valid_lengths(event)
            if event.reverse or vectors_BTS.shape[1] != inputs.shape[1]:
                raise UserError(
                    "layer", "one that runs forward over the steps of the input", label, fix="another layer"
                )
            lags = max(1, min(32, int(lengths_B.min()) // 2))
            found.memories[label] = probe_states(vectors_BTS, inputs, lengths_B, lags=lags)

        found.attempt(f"memory probe of {label}", probe)


def _along_the_sequence(found: Findings, subject: Subject, given: Material) -> None:
    """Measure the states of the shown sequence, by the model as it predicts."""
    names, features_TF = given.features
    events = observed(_Running(subject), given.shown)
    for name, event in events.items():
        label = layer_labels(subject.twin, [one.removeprefix("twin.") for one in events])[name.removeprefix("twin.")]
        states = states_after(event)
        T = int(valid_lengths(event)[0])
        found.units[label] = to_vector(states, axes=2)[0, :T].cpu()
        found.unit_names[label] = unit_names(event.initial)
        found.gates[label] = activations_of_scan(event, states)

        def match(label: str = label, T: int = T) -> None:
            found.matches[label] = match_units(found.units[label], features_TF[:T], names)

        found.attempt(f"units of {label} that follow features", match)


class _Running(torch.nn.Module):
    """A model as its task runs it."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.twin, self._task = subject.twin, [subject.task]

    def forward(self, inputs: Any, lengths: Any = None, reset: Any = None) -> Any:
        batch = SequenceBatch(inputs, torch.zeros(readable(inputs).shape[0]), lengths)
        if hasattr(self.twin, "teacher_forced"):  # a forecaster, whose horizon would be foreseen step by step
            return self.twin(inputs, lengths=lengths)
        return self._task[0].run_model(self.twin, batch)


def _context(found: Findings, subject: Subject, given: Material) -> None:
    found.context = context_used(subject.twin, given.batch._replace(reset=None))


def _attribution(found: Findings, subject: Subject, given: Material) -> None:
    inputs, shown = given.shown.inputs, given.shown
    if isinstance(inputs, Tensor) and inputs.shape[1] > ATTRIBUTED and shown.lengths is None:
        targets = shown.targets[:, :ATTRIBUTED] if shown.targets.dim() > 1 else shown.targets
        shown = SequenceBatch(inputs[:, :ATTRIBUTED], targets)
    if hasattr(subject.twin, "teacher_forced"):
        score = lambda outputs, batch: outputs.raw.flatten(1)[:, 0]  # noqa: E731  # the first step ahead
        found.attribution = attribute(subject.twin, shown, score=score)
    else:
        found.attribution = attribute(subject.twin, shown)


def _rows(event: ScanEvent, count: int) -> ScanEvent:
    def rows(leaf: Tensor) -> Tensor:
        return leaf[:count]

    assert event.y is not None
    return event._replace(
        x=map_state(rows, event.x),
        initial=map_state(rows, event.initial),
        context=None if event.context is None else map_state(rows, event.context),
        lengths=None if event.lengths is None else event.lengths[:count],
        reset=None if event.reset is None else event.reset[:count],
        y=event.y[:count],
    )


def _first(states: Any, count: int) -> Any:
    return map_state(lambda leaf: leaf[:count], states)


def _lags_read(memory: Memory | None) -> int | None:
    """Return the longest lag whose input is read better than by chance: a score above 0.05."""
    if memory is None:
        return None
    known = (memory.state > 0.05).nonzero()
    return int(known[-1]) if len(known) else 0
