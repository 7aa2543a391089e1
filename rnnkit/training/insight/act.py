"""One measurement: figures of a model on some rows of a batch, from its weights, the batch and the carry alone."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from rnnkit.batch import SequenceBatch
from rnnkit.cells.state import map_state
from rnnkit.engines import ScanEvent, scan
from rnnkit.errors import UserError
from rnnkit.insight.exponents import of_scan as exponents_of_scan
from rnnkit.insight.flow import Flow, by_lag, memory_length
from rnnkit.insight.jacobian import jacobians
from rnnkit.insight.record import checked, recording
from rnnkit.insight.replay import Cotangent, cotangents, replay
from rnnkit.insight.saturation import measured
from rnnkit.insight.saturation import of_scan as activations_of_scan
from rnnkit.insight.steps import steps_of
from rnnkit.training.insight.subject import Subject

LYAPUNOV_ROWS, LYAPUNOV_STEPS = 2, 64
MOST_STATE = 512
"""The largest state whose Jacobian is computed."""

Figures = dict[str, Any]


def observe_batch(
    subject: Subject, batch: SequenceBatch, state: Any
) -> tuple[dict[str, ScanEvent], dict[str, Cotangent], Any]:
    """Run the model on a batch; return its scans, the gradients of the loss of one step at each, and its outputs."""
    task = subject.task
    with torch.enable_grad(), recording(subject.twin) as scans:
        outputs = task.run_model(subject.twin, batch, state)
    events = checked(scans)
    found: dict[str, Cotangent] = {}
    with torch.enable_grad():
        for backward in (False, True):
            chosen = {name: event for name, event in events.items() if event.reverse == backward}
            if chosen:
                found |= cotangents(task.step_loss(outputs, batch, first=backward), chosen)
    return events, found, outputs


def last_steps(
    events: dict[str, ScanEvent], given: dict[str, Cotangent], most: int
) -> tuple[dict[str, ScanEvent], dict[str, Cotangent]]:
    """Return the last steps of long scans, from the state before them: the gradient is followed so far.

    Scans over padded rows, with resets in them, backward or with a context are returned as they are.
    """
    events, given = dict(events), dict(given)
    for name, event in events.items():
        assert event.y is not None
        start = event.y.shape[1] - most
        whole = (event.lengths, event.reset, event.context) == (None, None, None) and not event.reverse
        if start <= 0 or not whole:
            continue

        def late(leaf: Tensor, start: int = start) -> Tensor:
            return leaf[:, start:]

        with torch.no_grad():
            before = map_state(lambda leaf, start=start: leaf[:, :start], event.x)
            _, initial = scan(event.cell, before, event.initial)
        y, own = event.y[:, start:], given[name]
        events[name] = event._replace(x=map_state(late, event.x), initial=initial, y=y)
        given[name] = own._replace(y=None if own.y is None else own.y[:, start:])
    return events, given


def layer_figures(
    subject: Subject, name: str, event: ScanEvent, given: Cotangent, *, dynamics: bool, spectrum: bool
) -> Figures:
    """Return the figures of one layer.

    Args:
        subject: the model.
        name: the name of the cell.
        event: its scan.
        given: the gradients with respect to its results.
        dynamics: also compute the Lyapunov exponent.
        spectrum: also compute the spectral radius of the Jacobian of a step.
    """
    gradients = replay(event, given, subject.probe(name, event), subject.engine)
    figures = flow_figures(Flow(by_lag(event, gradients.state), event.reverse), event)
    if gradients.x is not None:
        reach = memory_length(Flow(by_lag(event, gradients.x), event.reverse))
        figures["input_length"] = reach.steps
    found = measured(activations_of_scan(event, gradients.states))
    figures["gates"] = {gate: list(shares) for gate, shares in found.gates.items()}
    figures |= {"tanh": found.tanh, "relu": found.relu, "dead": found.dead, "state_norm": found.state_norm}
    if dynamics:
        few, states = _part(event, gradients.states)
        figures["lyapunov"] = exponents_of_scan(few, states)[:, 0].tolist()
    if spectrum and gradients.state.shape[2] <= MOST_STATE:
        steps = steps_of(event, gradients.states)
        chosen = torch.linspace(0, len(steps.row) - 1, 4, device=steps.row.device).long()
        with torch.no_grad():
            values = torch.linalg.eigvals(jacobians(event.cell, steps.take(chosen)))
        figures["spectral_radius"] = float(values.abs().amax(1).mean())
    return figures


def flow_figures(flow: Flow, event: ScanEvent) -> Figures:
    """Return the gradient by lag at powers of two, in the middle and at the end of the window, and its length."""
    assert event.y is not None
    relative = flow.relative.tolist()
    if not relative or not math.isfinite(relative[0]):
        return {}
    length = memory_length(flow)
    lags = [2**n for n in range(len(relative).bit_length()) if 2**n <= len(relative)]
    return {
        "flow": {str(lag): relative[lag - 1] for lag in lags},
        "flow_middle": relative[len(relative) // 2 - 1] if len(relative) > 1 else None,
        "flow_end": relative[-1],
        "memory_length": length.steps,
        "is_censored": length.is_censored,
    }


@torch.no_grad()
def carry_gain(subject: Subject, batch: SequenceBatch, state: Any) -> float | None:
    """Return by which share of the loss the carried state lowers it; None without one."""
    if state is None:
        return None
    task, twin = subject.task, subject.twin
    fresh = batch._replace(reset=torch.ones(batch.shape[0], dtype=torch.bool, device=batch.targets.device))
    losses = [task.loss(task.run_model(twin, one, state), one) for one in (batch, fresh)]
    carried, anew = torch.stack(losses).tolist()
    return (anew - carried) / abs(anew) if anew else None


def gradient_norms(cells: dict[str, nn.Module]) -> dict[str, Tensor]:
    """Return the norm of the gradient of the weights of each cell."""
    found = {}
    for name, cell in cells.items():
        gradients = [p.grad for p in cell.parameters() if p.grad is not None]
        if gradients:
            found[name] = torch.nn.utils.get_total_norm(gradients)
    return found


def update_ratios(before: dict[str, list[Tensor]], cells: dict[str, nn.Module]) -> dict[str, Tensor]:
    """Return the change of the matrices of each cell in a step as a share of their norm; the median of the matrices."""
    found = {}
    for name, old in before.items():
        pairs = zip(matrices(cells[name]), old, strict=True)
        ratios = [(new - one).norm() / one.norm().clamp(min=1e-12) for new, one in pairs]
        if ratios:
            found[name] = torch.stack(ratios).median()
    return found


def matrices(cell: nn.Module) -> list[Tensor]:
    """Return the trained weight matrices of a cell, without copies."""
    return [p.detach() for p in cell.parameters() if p.dim() >= 2 and p.requires_grad]


def first_rows(batch: SequenceBatch, state: Any, count: int) -> tuple[SequenceBatch, Any]:
    """Return the first rows of a batch and of a state."""
    rows = torch.arange(min(count, batch.shape[0]), device=batch.targets.device)
    part = batch.take(rows)
    if part.lengths is not None and bool((part.lengths == 0).all()):
        raise UserError("batch", "a row with a step", "none", fix="another batch")
    own = None if state is None else map_state(lambda leaf: leaf[: len(rows)].clone(), state)
    return part, own


def _part(event: ScanEvent, states: Any) -> tuple[ScanEvent, Any]:
    """Return the first rows and steps of a scan, which are enough for an exponent."""
    B, T = LYAPUNOV_ROWS, LYAPUNOV_STEPS
    if event.reverse:  # its first steps are the last ones
        T = max(T, event.x.shape[1] if isinstance(event.x, Tensor) else T)

    def cut(leaf: Tensor) -> Tensor:
        return leaf[:B, :T]

    def rows(leaf: Tensor) -> Tensor:
        return leaf[:B]

    lengths = None if event.lengths is None else event.lengths[:B].clamp(max=T)
    part = event._replace(
        x=map_state(cut, event.x),
        initial=map_state(rows, event.initial),
        context=None if event.context is None else map_state(rows, event.context),
        lengths=lengths,
        y=None if event.y is None else cut(event.y),
        reset=None if event.reset is None else cut(event.reset),
    )
    return part, map_state(cut, states)
