"""Gates are found by what they do, in any cell, and saturated, stuck and dead units are counted."""

import pytest
import torch
from insight_cells import INPUTS, H, OwnCell
from torch import Tensor, nn

from rnnkit import RNN, SequenceBatch
from rnnkit.cells import Cell, GRUCell, LSTMCell, MinGRUCell, Residual, RGLRUCell, Stack, Zoneout
from rnnkit.insight import saturation
from rnnkit.insight.gates import Activations
from rnnkit.insight.saturation import of_scan
from rnnkit.insight.steps import observed, states_after


class Tricky(Cell[Tensor]):
    """Gates in disguise, and sigmoids that are no gates."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.map = nn.Linear(input_size, 5 * hidden_size)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.map.weight.new_zeros(batch_size, self.output_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        a, b, c, d, e = self.map(x_BI).chunk(5, dim=-1)
        swish = a * a.sigmoid()  # no gate: it multiplies its own argument
        added = torch.sigmoid(b) + 1  # no gate: it multiplies nothing
        blended = torch.lerp(state, swish, torch.special.expit(c))  # a gate
        both = torch.sigmoid(torch.cat([d, e], dim=-1))
        one, other = both.chunk(2, dim=-1)  # two gates, one by its complement and a factor
        after = one * blended + 0.5 * (1 - other) * added
        return after, after


def test_gates_are_outputs_of_a_sigmoid_that_multiply() -> None:
    cell, x = Tricky(INPUTS, H), torch.randn(6, INPUTS)
    found = Activations()
    with found:
        cell(x, cell.initial_state(6))
    _, _, c, d, e = cell.map(x).chunk(5, dim=-1)
    assert len(found.gates) == 3
    for gate, argument in zip(found.gates, (c, d, e), strict=True):
        assert torch.allclose(gate, torch.sigmoid(argument))


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        (GRUCell(H, H), ["reset", "update"]),
        (MinGRUCell(H, H), ["update"]),
        (RGLRUCell(H, H), ["recurrence", "input"]),
        (OwnCell(H, H), ["gate 1"]),
        (Residual(Zoneout(LSTMCell(H, H), 0.1)), ["forget", "input", "output"]),
        (Stack([GRUCell(H, H), GRUCell(H, H)]), ["reset 1", "update 2", "reset 3", "update 4"]),
    ],
)
def test_gates_of_any_cell_have_names(cell: Cell[Tensor], names: list[str]) -> None:
    (found,) = saturation(cell, torch.randn(2, 5, H)).values()
    assert list(found.gates) == names


def test_values_are_those_of_a_loop_over_the_valid_steps() -> None:
    rnn = RNN(LSTMCell, INPUTS, H, dropout=0.5, bidirectional=True)
    reset = torch.zeros(3, 6, dtype=torch.bool)
    reset[1, 2] = True
    batch = SequenceBatch(torch.randn(3, 6, INPUTS), torch.empty(0), torch.tensor([6, 4, 0]), reset=reset)
    for direction, name in enumerate(["cells.0", "cells.1"]):
        cell, gates = rnn.cell_at(direction), []
        for b, length in enumerate([6, 4, 0]):
            state, here = cell.initial_state(1), {}
            for t in reversed(range(length)) if direction else range(length):
                begins = bool(reset[b, t + 1]) if direction and t + 1 < length else bool(reset[b, t]) and not direction
                state = cell.initial_state(1) if begins else state
                linear = batch.inputs[b, t] @ cell.weight_ih.T + cell.bias_ih + state.hidden @ cell.weight_hh.T
                here[t] = torch.sigmoid(linear[:, H : 2 * H])
                _, state = cell(batch.inputs[b, t : t + 1], state)
            gates += [here[t] for t in sorted(here)]
        event = observed(rnn, batch)[name]
        found = of_scan(event, states_after(event)).gates["forget"]
        assert torch.allclose(found, torch.cat(gates).detach(), atol=1e-6)


def test_ill_units_are_counted() -> None:
    rnn = RNN(LSTMCell, INPUTS, 8)
    cell = rnn.cell_at(0)
    with torch.no_grad():
        cell.bias_ih[8:12] = 30.0  # half of the forget gates are always open
        cell.bias_ih[24:26] = -1e4  # two output gates are always closed: their hidden units never change
    (found,) = saturation(rnn, torch.randn(4, 20, INPUTS)).values()
    assert found.gates["forget"].stuck == 0.5
    assert found.gates["forget"].open >= 0.5
    assert found.gates["output"].closed >= 0.25
    assert found.gates["input"].stuck < 0.5
    assert found.dead == pytest.approx(2 / 16)
    healthy = saturation(RNN(LSTMCell, INPUTS, 8), torch.randn(4, 20, INPUTS))["cells.0"]
    assert (healthy.dead, healthy.gates["forget"].stuck) == (0, 0)
