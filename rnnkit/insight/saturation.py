"""Saturated gates, units that never change, and the size of the state."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.engines import ScanEvent
from rnnkit.insight.gates import Activations
from rnnkit.insight.record import evaluating
from rnnkit.insight.steps import Steps, observed, states_after, step, steps_of
from rnnkit.insight.vectors import to_vector

HIGH, LOW = 0.95, 0.05
STUCK = 0.99
"""The share of steps on one side from which a unit of a gate is stuck."""
DEAD = 1e-4
"""A unit is dead if its standard deviation over the steps is below this share of the median of those that change."""


class Gate(NamedTuple):
    """The shares of a gate above 0.95 and below 0.05, over units and steps, and of its units that are stuck."""

    open: float
    closed: float
    stuck: float


class Saturation(NamedTuple):
    """The activations of a layer over a batch.

    Args:
        gates: the gates by name.
        tanh: the share of the outputs of tanh beyond 0.95 in absolute value; NaN without a tanh.
        relu: the share of the outputs of relu that are 0; NaN without a relu.
        dead: the share of the units of the state that do not change.
        state_norm: the root mean square of the state.
    """

    gates: dict[str, Gate]
    tanh: float
    relu: float
    dead: float
    state_norm: float


def saturation(model: Any, batch: Any, state: Any = None) -> dict[str, Saturation]:
    """Return the saturation of each layer over a batch.

    Gates are found in any cell: outputs of a sigmoid that multiply. They are named by the `gate_names` of the cell, or
    numbered in the order of their computation.

    Args:
        model: see `gradient_flow`.
        batch: see `gradient_flow`.
        state: see `gradient_flow`.

    Raises:
        UserError: as `gradient_flow`.

    >>> from rnnkit import RNN
    >>> from rnnkit.cells import LSTMCell
    >>> list(saturation(RNN(LSTMCell, 3, 5), torch.randn(2, 7, 3))["cells.0"].gates)
    ['forget', 'input', 'output']
    """
    events = observed(model, batch, state)
    return {name: measured(of_scan(event, states_after(event))) for name, event in events.items()}


class Values(NamedTuple):
    """The activations at N steps: of each gate [N, H] by its name, of tanh and relu, and the state [N, S]."""

    gates: dict[str, Tensor]
    tanhs: list[Tensor]
    relus: list[Tensor]
    state: Tensor


def of_scan(event: ScanEvent, states: Any) -> Values:
    """Return the activations at all valid steps of a scan, given the states after them."""
    return of_steps(event.cell, steps_of(event, states))


def of_steps(cell: Cell[Any], steps: Steps) -> Values:
    """Return the activations at some steps."""
    found = Activations()
    with evaluating(cell), torch.no_grad(), found:
        _, after = step(cell, steps)
    count = len(steps.row)
    gates = [gate.flatten(1) for gate in found.gates if gate.dim() > 1 and len(gate) == count]
    return Values(
        dict(zip(gate_names(cell, len(gates)), gates, strict=True)), found.tanhs, found.relus, to_vector(after)
    )


def gate_names(cell: Cell[Any], count: int) -> list[str]:
    """Return the names of a cell's gates: its own, or else numbers."""
    parts = [part for part in cell.modules() if isinstance(part, Cell)]
    own = [name for part in parts for name in part.gate_names]
    if len(own) != count:
        return [f"gate {index}" for index in range(1, count + 1)]
    many = len(set(own)) < len(own)  # a stack of cells
    return [f"{name} {index}" for index, name in enumerate(own, 1)] if many else own


def measured(values: Values) -> Saturation:
    """Return the shares of saturated activations."""
    numbers: list[Tensor] = []
    for gate in values.gates.values():
        above, below = gate > HIGH, gate < LOW
        sides = torch.maximum(above.float().mean(0), below.float().mean(0))
        numbers += [above.float().mean(), below.float().mean(), (sides > STUCK).float().mean()]
    numbers += [_share([tanh.abs() > HIGH for tanh in values.tanhs], values.state)]
    numbers += [_share([relu == 0 for relu in values.relus], values.state)]
    spread_S = values.state.std(0, correction=0)
    typical = torch.where(spread_S > 0, spread_S, torch.nan).nanmedian()  # also if most units are dead
    numbers += [1 - (spread_S >= DEAD * typical).float().mean()]
    numbers += [values.state.square().mean().sqrt()]
    *of_gates, tanh, relu, dead, norm = torch.stack([number.float() for number in numbers]).tolist()
    gates = {name: Gate(*of_gates[3 * i : 3 * i + 3]) for i, name in enumerate(values.gates)}
    return Saturation(gates, tanh, relu, dead, norm)


def _share(masks: list[Tensor], like: Tensor) -> Tensor:
    if not masks:
        return like.new_full((), torch.nan)
    return torch.cat([mask.flatten() for mask in masks]).float().mean()
