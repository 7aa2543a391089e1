"""The linear cells against their equations written out in numpy, and what their papers promise of them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rnnkit import scan
from rnnkit.cells import LinearCell, LRUCell, MinGRUCell, MinLSTMCell, QRNNCell, RGLRUCell, SRUCell
from rnnkit.errors import UserError
from rnnkit.testing import check_cell

CELLS = [MinGRUCell, MinLSTMCell, SRUCell, QRNNCell, LRUCell, RGLRUCell]
Array = np.ndarray[Any, Any]
Weights = dict[str, Array]


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def positive(v: Array) -> Array:
    return np.where(v >= 0, v + 0.5, sigmoid(v))


def min_gru(w: Weights, x: Array, h: Array) -> tuple[Array, Array]:
    z, v = np.split(w["input_map.weight"] @ x + w["input_map.bias"], 2)
    h = (1 - sigmoid(z)) * h + sigmoid(z) * positive(v)
    return h, h


def min_lstm(w: Weights, x: Array, h: Array) -> tuple[Array, Array]:
    f, i, v = np.split(w["input_map.weight"] @ x + w["input_map.bias"], 3)
    f, i = sigmoid(f), sigmoid(i)
    h = f / (f + i) * h + i / (f + i) * positive(v)
    return h, h


def sru(w: Weights, x: Array, c: Array) -> tuple[Array, Array]:
    forget, candidate = np.split(w["input_map.weight"] @ x, 2)
    f = sigmoid(forget + w["forget_bias"])
    r = sigmoid(w["reset_map.weight"] @ x + w["reset_map.bias"])
    c = f * c + (1 - f) * candidate
    return r * c + (1 - r) * (w["skip.weight"] @ x if "skip.weight" in w else x), c


def qrnn(w: Weights, x: Array, c: Array) -> tuple[Array, Array]:
    z, f = np.split(w["input_map.weight"] @ x + w["input_map.bias"], 2)
    c = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(z)
    return sigmoid(w["output_gate.weight"] @ x + w["output_gate.bias"]) * c, c


def lru(w: Weights, x: Array, h: Array) -> tuple[Array, Array]:
    B = w["weight_in"][:, 0] + 1j * w["weight_in"][:, 1]
    # The imaginary parts of C are stored with the sign that Re(C h) gives them.
    C = w["weight_out"][:, :, 0] - 1j * w["weight_out"][:, :, 1]
    h = np.exp(-np.exp(w["nu"]) + 1j * np.exp(w["theta"])) * h + np.exp(w["gamma"]) * (B @ x)
    return (C @ h).real + w["skip"] @ x, h


def rg_lru(w: Weights, x: Array, h: Array) -> tuple[Array, Array]:
    u = w["input_map.weight"] @ x + w["input_map.bias"] if "input_map.weight" in w else x
    r, i = np.split(sigmoid(w["gates.weight"] @ u + w["gates.bias"]), 2)
    a = np.exp(-8 * np.log1p(np.exp(w["Lambda"])) * r)
    h = a * h + np.sqrt(1 - a**2) * i * u
    return h, h


STEPS: dict[type[LinearCell], Callable[[Weights, Array, Array], tuple[Array, Array]]] = {
    MinGRUCell: min_gru,
    MinLSTMCell: min_lstm,
    SRUCell: sru,
    QRNNCell: qrnn,
    LRUCell: lru,
    RGLRUCell: rg_lru,
}


@pytest.mark.parametrize("sizes", [(4, 6), (5, 5)])
@pytest.mark.parametrize("cell", CELLS)
def test_a_step_is_the_papers_equation(cell: type[LinearCell], sizes: tuple[int, int]) -> None:
    built = cell(*sizes).double()
    for name, parameter in built.named_parameters():
        if "weight" in name or "bias" in name:
            nn.init.normal_(parameter)
    weights = {name: parameter.detach().numpy() for name, parameter in built.named_parameters()}
    x_BI = torch.randn(3, sizes[0], dtype=torch.float64)
    h_BH = torch.randn_like(built.initial_state(3))
    found_y, found_h = built(x_BI, h_BH)
    for b in range(3):
        wanted_y, wanted_h = STEPS[cell](weights, x_BI[b].numpy(), h_BH[b].numpy())
        np.testing.assert_allclose(found_y[b].detach().numpy(), wanted_y, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(found_h[b].detach().numpy(), wanted_h, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("cell", [*CELLS, partial(LRUCell, r_min=0.9, r_max=0.999, max_phase=0.314)])
def test_cells_as_wide_as_their_input_keep_the_promises(cell: Any) -> None:
    check_cell(cell, input_size=3, hidden_size=3)


@pytest.mark.parametrize("cell", [MinGRUCell, MinLSTMCell])
def test_a_minimal_cell_stays_between_its_candidates_and_where_it_began(cell: type[LinearCell]) -> None:
    built = cell(4, 6)
    x_BTI = 3 * torch.randn(8, 200, 4)
    a, b_BTH = built.coefficients(x_BTI)
    candidates = b_BTH / (1 - a)
    start = torch.full((8, 6), 0.7)
    y_BTO, _ = scan(built, x_BTI, start)
    assert (a > 0).all()
    assert (a < 1).all()
    assert (candidates > 0).all()
    assert (y_BTO <= candidates.amax(dim=1, keepdim=True).clamp(min=0.7) + 1e-5).all()
    assert (y_BTO >= candidates.amin(dim=1, keepdim=True).clamp(max=0.7) - 1e-5).all()


def test_the_gates_of_a_min_lstm_may_both_be_shut() -> None:
    cell = MinLSTMCell(1, 1)
    with torch.no_grad():
        cell.input_map.weight.copy_(torch.tensor([[-200.0], [-200.0], [0.0]]))
        cell.input_map.bias.zero_()
    x_BI = torch.ones(1, 1, requires_grad=True)
    h_BH, _ = cell(x_BI, torch.ones(1, 1))
    h_BH.backward()
    torch.testing.assert_close(h_BH.detach(), torch.tensor([[0.75]]))  # half of 1, half of g(0) = 1/2
    assert x_BI.grad is not None
    assert x_BI.grad.isfinite().all()


@pytest.mark.parametrize(("r_min", "r_max", "max_phase"), [(0.0, 0.99, 6.28), (0.9, 0.999, 0.314), (0.5, 0.51, 1.0)])
def test_lru_eigenvalues_begin_on_the_ring(r_min: float, r_max: float, max_phase: float) -> None:
    cell = LRUCell(2, 4000, r_min, r_max, max_phase)
    lambda_H, _ = cell.coefficients(torch.zeros(2))
    radius, phase = lambda_H.abs(), lambda_H.angle() % (2 * torch.pi)
    assert radius.min() >= r_min - 1e-4
    assert radius.max() <= r_max + 1e-4
    assert phase.max() <= max_phase + 1e-3
    # Uniform in area: half of the eigenvalues lie outside the radius that halves the ring's area.
    middle = ((r_min**2 + r_max**2) / 2) ** 0.5
    assert abs((radius > middle).float().mean() - 0.5) < 0.04
    assert abs((phase > max_phase / 2).float().mean() - 0.5) < 0.04
    torch.testing.assert_close(torch.exp(cell.gamma) ** 2 + radius**2, torch.ones(4000), rtol=1e-4, atol=1e-4)


def test_an_lru_answers_an_impulse_with_powers_of_its_eigenvalues() -> None:
    cell = LRUCell(1, 5).double()
    x_BTI = torch.zeros(1, 50, 1, dtype=torch.float64)
    x_BTI[0, 0] = 1
    y_BTO, _ = scan(cell, x_BTI)
    weights = {name: parameter.detach().numpy() for name, parameter in cell.named_parameters()}
    eigenvalues = np.exp(-np.exp(weights["nu"]) + 1j * np.exp(weights["theta"]))
    first = np.exp(weights["gamma"]) * (weights["weight_in"][:, 0] + 1j * weights["weight_in"][:, 1])[:, 0]
    C = weights["weight_out"][:, :, 0] - 1j * weights["weight_out"][:, :, 1]
    wanted = (C @ (eigenvalues[:, None] ** np.arange(50) * first[:, None])).real.T
    wanted[0] += weights["skip"][:, 0]
    np.testing.assert_allclose(y_BTO[0].detach().numpy(), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_long_memories_are_kept_in_full_precision(dtype: torch.dtype) -> None:
    x_BI = torch.randn(2, 3).to(dtype)
    full = torch.float64 if dtype == torch.float64 else torch.float32
    for cell, kept in ((LRUCell(3, 5), full.to_complex()), (RGLRUCell(3, 5), full)):
        y_BO, state = cell.to(dtype)(x_BI, cell.initial_state(2))
        assert (y_BO.dtype, state.dtype) == (dtype, kept)


def test_rg_lru_begins_with_memories_of_10_to_1000_steps() -> None:
    cell = RGLRUCell(3, 1000)
    with torch.no_grad():
        cell.gates.weight.zero_()
        cell.gates.bias.fill_(100)  # the gates open
    a, _ = cell.coefficients(torch.zeros(3))
    assert a.min() > 0.8999
    assert a.max() < 0.9991
    assert abs((a > 0.9495).float().mean() - 0.5) < 0.06


@pytest.mark.parametrize("bias", [-200.0, -80.0, -20.0, 50.0])
def test_a_gate_shut_to_the_last_bit_has_a_finite_gradient(bias: float) -> None:
    cell = RGLRUCell(3, 3)
    with torch.no_grad():
        cell.gates.bias.fill_(bias)
    x_BTI = torch.randn(2, 5, 3, requires_grad=True)
    y_BTO, _ = scan(cell, x_BTI, torch.ones(2, 3))
    sources: list[Tensor] = [x_BTI, *cell.parameters()]
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(y_BTO.sum(), sources))
    if bias == -200.0:
        torch.testing.assert_close(y_BTO, torch.ones(2, 5, 3))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("sizes", [(0, 3), (3, 0)])
def test_a_size_below_one_is_refused(cell: type[LinearCell], sizes: tuple[int, int]) -> None:
    with pytest.raises(UserError, match=r"_size: expected .* at least 1; got 0\."):
        cell(*sizes)


@pytest.mark.parametrize(("r_min", "r_max"), [(-0.1, 0.9), (0.9, 0.9), (0.5, 0.4), (0.0, 1.0)])
def test_a_ring_outside_the_unit_circle_is_refused(r_min: float, r_max: float) -> None:
    with pytest.raises(UserError, match=r"r_min: expected 0 <= r_min < r_max < 1; got .*model\.cell\.r_max"):
        LRUCell(3, 5, r_min, r_max)


def test_a_phase_below_zero_is_refused() -> None:
    with pytest.raises(UserError, match=r"max_phase: expected an angle above 0; got -1"):
        LRUCell(3, 5, max_phase=-1)
