"""The nonlinear cells where other parameters make them a cell that torch has, or one another."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnnkit import scan
from rnnkit.cells import (
    Cell,
    CfCCell,
    CoupledLSTMCell,
    IndRNNCell,
    LayerNormGRUCell,
    LayerNormLSTMCell,
    LSTMState,
    MGUCell,
    PeepholeLSTMCell,
    SLSTMCell,
)


def randomized(cell: Any) -> Any:
    for parameter in cell.double().parameters():
        nn.init.normal_(parameter)
    return cell


def sequence(features: int = 4) -> Tensor:
    return torch.randn(3, 6, features, dtype=torch.float64)


def torchs_outputs(theirs: Any, x_BTI: Tensor) -> Tensor:
    h_BH = x_BTI.new_zeros(len(x_BTI), theirs.hidden_size)
    state = (h_BH, h_BH) if isinstance(theirs, nn.LSTMCell) else h_BH
    outputs = []
    for x_BI in x_BTI.unbind(1):
        state = theirs(x_BI, state)
        outputs.append(state[0] if isinstance(state, tuple) else state)
    return torch.stack(outputs, dim=1)


def assign(parameter: Tensor | None, value: Tensor | float) -> None:
    assert parameter is not None
    with torch.no_grad():
        parameter.copy_(torch.as_tensor(value))


def test_without_peepholes_it_is_torchs_lstm() -> None:
    cell, theirs = randomized(PeepholeLSTMCell(4, 5)), nn.LSTMCell(4, 5).double()
    nn.init.zeros_(cell.weight_ch)
    theirs.load_state_dict(
        {
            "weight_ih": cell.weight_ih,
            "weight_hh": cell.weight_hh,
            "bias_ih": cell.bias / 3,
            "bias_hh": 2 * cell.bias / 3,
        }
    )
    x_BTI = sequence()
    torch.testing.assert_close(scan(cell, x_BTI)[0], torchs_outputs(theirs, x_BTI))


def test_coupled_gates_are_torchs_lstm_whose_input_gate_mirrors_the_forget_gate() -> None:
    cell, theirs = randomized(CoupledLSTMCell(4, 5)), nn.LSTMCell(4, 5).double()
    for torchs, ours in (("weight_ih", "weight_ih"), ("weight_hh", "weight_hh"), ("bias_ih", "bias")):
        f, g, o = getattr(cell, ours).detach().chunk(3)
        assign(getattr(theirs, torchs), torch.cat([-f, f, g, o]))
    nn.init.zeros_(theirs.bias_hh)
    x_BTI = sequence()
    torch.testing.assert_close(scan(cell, x_BTI)[0], torchs_outputs(theirs, x_BTI))


def test_mgu_with_an_open_gate_is_torchs_elman_network_and_with_a_closed_one_stands_still() -> None:
    cell, theirs = randomized(MGUCell(4, 5)), nn.RNNCell(4, 5).double()
    assign(cell.bias[:5], 1e3)
    assign(theirs.weight_ih, cell.weight_ih[5:])
    assign(theirs.weight_hh, cell.weight_hh[5:])
    assign(theirs.bias_ih, cell.bias[5:])
    nn.init.zeros_(theirs.bias_hh)
    x_BTI = sequence()
    torch.testing.assert_close(scan(cell, x_BTI)[0], torchs_outputs(theirs, x_BTI))
    assign(cell.bias[:5], -1e3)
    h_BH = torch.randn(3, 5, dtype=torch.float64)
    assert torch.equal(scan(cell, x_BTI, h_BH)[1], h_BH)


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
def test_indrnn_is_torchs_elman_network_with_a_diagonal_recurrent_matrix(nonlinearity: Any) -> None:
    cell, theirs = randomized(IndRNNCell(4, 5, nonlinearity)), nn.RNNCell(4, 5, nonlinearity=nonlinearity).double()
    assign(theirs.weight_ih, cell.weight_ih)
    assign(theirs.weight_hh, torch.diag(cell.weight_hh))
    assign(theirs.bias_ih, cell.bias)
    nn.init.zeros_(theirs.bias_hh)
    x_BTI = sequence()
    torch.testing.assert_close(scan(cell, x_BTI)[0], torchs_outputs(theirs, x_BTI))


@pytest.mark.parametrize(
    ("cell", "weights"),
    [
        (LayerNormLSTMCell, ["weight_ih", "weight_hh"]),
        (LayerNormGRUCell, ["weight_ih", "weight_hh"]),
    ],
)
def test_layer_normed_maps_do_not_feel_how_large_their_weights_are(cell: Any, weights: list[str]) -> None:
    built, x_BTI = randomized(cell(4, 5)), sequence()
    # Large enough that the epsilon in the norm's root is nothing.
    for weight in weights:
        assign(getattr(built, weight), 1e4 * getattr(built, weight))
    before = scan(built, x_BTI)[0]
    for weight in weights:
        assign(getattr(built, weight), 7 * getattr(built, weight))
    torch.testing.assert_close(scan(built, x_BTI)[0], before, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("forget_gate", ["sigmoid", "exp"])
@pytest.mark.parametrize("heads", [2, 3, 6])
def test_heads_are_a_recurrent_matrix_in_blocks(heads: int, forget_gate: Any) -> None:
    cell = randomized(SLSTMCell(4, 6, num_heads=heads, forget_gate=forget_gate))
    dense = SLSTMCell(4, 6, forget_gate=forget_gate).double()
    gates = [torch.block_diag(*gate.detach().chunk(heads)) for gate in cell.weight_hh.chunk(4)]
    assign(dense.weight_ih, cell.weight_ih)
    assign(dense.weight_hh, torch.cat(gates))
    assign(dense.bias, cell.bias)
    x_BTI = sequence()
    torch.testing.assert_close(scan(cell, x_BTI), scan(dense, x_BTI))


def test_slstm_that_writes_and_keeps_alike_is_the_running_mean_of_what_was_written() -> None:
    cell: SLSTMCell = randomized(SLSTMCell(4, 5, forget_gate="exp"))
    nn.init.zeros_(cell.weight_hh)
    for gate, bias in ((0, 0.7), (1, 0.0), (3, 1e3)):
        assign(cell.weight_ih[5 * gate : 5 * gate + 5], 0.0)
        assign(cell.bias[5 * gate : 5 * gate + 5], bias)
    x_BTI = sequence()
    written_BTH = torch.tanh(x_BTI @ cell.weight_ih[10:15].T + cell.bias[10:15])
    mean_BTH = written_BTH.cumsum(1) / torch.arange(1, 7, dtype=torch.float64)[:, None]
    torch.testing.assert_close(scan(cell, x_BTI)[0], mean_BTH)


def test_a_time_gap_of_one_is_the_cell_without_gaps() -> None:
    timed, plain = (
        randomized(CfCCell(5, 6, backbone_size=7, elapsed_time=True)),
        CfCCell(4, 6, backbone_size=7).double(),
    )
    plain.load_state_dict(timed.state_dict())
    x_BTI = sequence()
    ones_BT1 = torch.ones(3, 6, 1, dtype=torch.float64)
    torch.testing.assert_close(scan(timed, torch.cat([x_BTI, ones_BT1], dim=2)), scan(plain, x_BTI))


@pytest.mark.parametrize("build", [PeepholeLSTMCell, CoupledLSTMCell, partial(LayerNormLSTMCell, forget_bias=1.0)])
def test_closed_and_open_gates_carry_the_cell_state_untouched(build: Any) -> None:
    cell: Cell[LSTMState] = randomized(build(4, 5))
    biases = cell.norm_ih.bias if isinstance(cell, LayerNormLSTMCell) else cell.bias
    forget = slice(0, 5) if isinstance(cell, CoupledLSTMCell) else slice(5, 10)
    assign(biases[forget], 1e3)  # type: ignore[index]
    if forget.start:
        assign(biases[:5], -1e3)  # type: ignore[index]
    c_BH = torch.randn(3, 5, dtype=torch.float64)
    end = scan(cell, sequence(), LSTMState(torch.randn(3, 5, dtype=torch.float64), c_BH))[1]
    assert torch.equal(end.cell, c_BH)
