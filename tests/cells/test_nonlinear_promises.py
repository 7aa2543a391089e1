"""What the papers promise of their cells: memory that keeps, states that stay bounded, time that may skip."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import jacrev

from rnnkit import scan
from rnnkit.cells import (
    AntisymmetricCell,
    CfCCell,
    CoRNNCell,
    CoRNNState,
    CoupledLSTMCell,
    IndRNNCell,
    LEMCell,
    LEMState,
    SLSTMCell,
)


def randomized(cell: Any, scale: float = 1.0) -> Any:
    for parameter in cell.parameters():
        nn.init.normal_(parameter, std=scale)
    return cell


def set_gate_biases(cell: SLSTMCell, i: float, f: float) -> None:
    H = cell.hidden_size
    with torch.no_grad():
        cell.bias[:H] = i
        cell.bias[H : 2 * H] = f


@pytest.mark.parametrize("forget_gate", ["sigmoid", "exp"])
@pytest.mark.parametrize("f", [-200.0, 0.0, 200.0])
@pytest.mark.parametrize("i", [-200.0, 0.0, 200.0])
def test_slstm_overflows_nowhere(i: float, f: float, forget_gate: Any) -> None:
    cell = randomized(SLSTMCell(3, 4, forget_gate=forget_gate))
    set_gate_biases(cell, i, f)
    x_BTI = torch.randn(2, 30, 3, requires_grad=True)
    y_BTO, state = scan(cell, x_BTI)
    assert all(leaf.isfinite().all() for leaf in state)
    assert (y_BTO.abs() <= 1).all()
    assert (y_BTO.abs() > 1e-6).any()
    (y_BTO.square().sum() + state.cell.sum() + state.normalizer.sum()).backward()
    assert x_BTI.grad is not None
    assert all(gradient.isfinite().all() for gradient in (x_BTI.grad, *(p.grad for p in cell.parameters())))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("i", [-200.0, 0.0, 200.0])
def test_the_first_step_of_an_slstm_is_what_was_written_however_weakly(i: float, dtype: torch.dtype) -> None:
    cell = randomized(SLSTMCell(3, 4))
    set_gate_biases(cell, i, 5.0)
    cell.to(dtype)
    x_BI = torch.randn(2, 3).to(dtype)
    state = cell.initial_state(2)
    assert all(leaf.isfinite().all() for leaf in state)
    z_BH, o_BH = (x_BI @ cell.weight_ih[8:].T + cell.bias[8:]).chunk(2, dim=1)
    h_BH, after = cell(x_BI, state)
    torch.testing.assert_close(h_BH, o_BH.sigmoid() * z_BH.tanh(), rtol=0.02, atol=0.02)
    assert torch.equal(after.normalizer, torch.ones_like(h_BH))


def test_the_unit_of_an_slstms_memory_does_not_matter() -> None:
    cell = randomized(SLSTMCell(3, 4)).double()
    state = scan(cell, torch.randn(2, 5, 3, dtype=torch.float64))[1]
    other = state._replace(
        cell=state.cell * math.exp(-2), normalizer=state.normalizer * math.exp(-2), stabilizer=state.stabilizer + 2
    )
    x_BTI = torch.randn(2, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(scan(cell, x_BTI, other)[0], scan(cell, x_BTI, state)[0])


def test_an_slstm_can_revise_what_it_stored() -> None:
    """The point of the exponential gate: one strong write outweighs a hundred that came before."""
    cell = SLSTMCell(1, 1, forget_gate="exp")
    with torch.no_grad():
        cell.weight_hh.zero_()
        cell.weight_ih.copy_(torch.tensor([[10.0], [0.0], [0.0], [0.0]]))
        cell.bias.copy_(torch.tensor([0.0, 0.0, 3.0, 100.0]))
    x_BTI = torch.zeros(1, 101, 1)
    before = scan(cell, x_BTI)[0][0, -1, 0]
    with torch.no_grad():
        cell.weight_ih[2] = -6.0
    x_BTI[0, -1] = 1.0
    after = scan(cell, x_BTI)[0][0, -1, 0]
    assert before > 0.99
    assert after < -0.98


def test_oscillators_left_alone_follow_the_differential_equation() -> None:
    """y'' = -gamma y - epsilon y' from rest at 1 has a closed form; the scheme's error falls with dt."""
    gamma, epsilon, end = 4.0, 0.5, 2.0
    root = math.sqrt(gamma - epsilon**2 / 4)
    exact = math.exp(-epsilon * end / 2) * (math.cos(root * end) + epsilon / (2 * root) * math.sin(root * end))
    errors = []
    for steps in (200, 400):
        cell = randomized(CoRNNCell(1, 1, dt=end / steps, gamma=gamma, epsilon=epsilon), scale=0.0).double()
        still, start = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
        state = scan(cell, still.expand(1, steps, 1), CoRNNState(start, still))[1]
        errors.append(abs(state.hidden.item() - exact))
    assert errors[1] < 0.01
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)


def test_oscillators_stay_bounded() -> None:
    """Overdamped, as by default, none is pushed further than where the largest force, 1, meets the spring."""
    cell = randomized(CoRNNCell(3, 8), scale=5.0).double()
    with torch.no_grad():
        y_BTO, state = scan(cell, 5 * torch.randn(2, 1500, 3, dtype=torch.float64))
    assert 0.1 < y_BTO.abs().max() <= 1 / 2.7
    assert state.velocity.abs().max() <= 1.0


def test_lem_and_the_coupled_lstm_stay_within_one() -> None:
    x_BTI = 10 * torch.randn(4, 200, 3)
    with torch.no_grad():
        lem = scan(randomized(LEMCell(3, 8), scale=3.0), x_BTI)
        coupled = scan(randomized(CoupledLSTMCell(3, 8), scale=3.0), x_BTI)[1]
    for leaf in (lem[0], lem[1].memory, coupled.cell):
        assert 0.5 < leaf.abs().max() <= 1


@pytest.mark.parametrize("dt", [0.5, 0.01])
def test_no_step_of_lem_is_longer_than_dt(dt: float) -> None:
    cell = randomized(LEMCell(3, 8, dt=dt), scale=5.0)
    before = LEMState(*torch.rand(2, 64, 8).mul(2).sub(1).unbind())
    _, after = cell(torch.randn(64, 3), before)
    for old, new in zip(before, after, strict=True):
        assert ((new - old).abs() <= dt * (1 + old.abs()) + 1e-6).all()
        assert (new - old).abs().max() > dt  # some unit opposite to its target all but takes the whole step


def rate_of_change(cell: Any, x_1I: Tensor, h_1H: Tensor) -> Tensor:
    """The Jacobian of the differential equation of which the cell takes one Euler step."""
    J = jacrev(lambda h_H: cell(x_1I, h_H[None])[0][0])(h_1H[0])
    return (J - torch.eye(len(J), dtype=J.dtype)) / cell.step_size


def test_an_antisymmetric_system_fades_by_its_diffusion_alone() -> None:
    cell = randomized(AntisymmetricCell(3, 7, step_size=0.05, diffusion=0.3)).double()
    nn.init.zeros_(cell.bias)
    zeros = [torch.zeros(1, size, dtype=torch.float64) for size in (3, 7)]
    eigenvalues = torch.linalg.eigvals(rate_of_change(cell, *zeros))
    torch.testing.assert_close(eigenvalues.real, torch.full((7,), -0.3, dtype=torch.float64))
    assert eigenvalues.imag.abs().max() > 1
    # Elsewhere tanh is less steep, and so is the fading.
    anywhere = [torch.randn(1, size, dtype=torch.float64) for size in (3, 7)]
    real = torch.linalg.eigvals(rate_of_change(cell, *anywhere)).real
    assert ((real <= 0) & (real >= -0.3)).all()


def test_indrnn_neurons_see_only_themselves() -> None:
    cell = randomized(IndRNNCell(3, 6, nonlinearity="tanh")).double()
    x_1I, h_H = torch.randn(1, 3, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    J = jacrev(lambda h_H: cell(x_1I, h_H[None])[0][0])(h_H)
    assert torch.equal(J, torch.diag(J.diag()))
    assert (J.diag() != 0).all()


def test_indrnn_starts_with_every_length_of_memory() -> None:
    u_H = IndRNNCell(1, 4096).weight_hh.detach()
    assert 0 <= u_H.min() < 0.01
    assert 0.99 < u_H.max() <= 1
    assert u_H.std().item() == pytest.approx(12**-0.5, rel=0.05)


class TestTimeGaps:
    H = 6

    @pytest.fixture
    def cell(self) -> CfCCell:
        return randomized(CfCCell(3, self.H, backbone_size=16, elapsed_time=True), scale=0.3).double()

    @pytest.fixture
    def x_I(self) -> Tensor:
        return torch.randn(2, dtype=torch.float64)

    def after(self, cell: CfCCell, x_I: Tensor, gaps: list[float]) -> Tensor:
        """The state after each gap, all of them taken from the same start: [gaps, H]."""
        x_BI = torch.cat([x_I.expand(len(gaps), 2), torch.tensor(gaps, dtype=torch.float64)[:, None]], dim=1)
        return cell(x_BI, cell.initial_state(len(gaps)))[0].detach()

    def test_a_gap_of_two_is_not_two_gaps_of_one(self, cell: CfCCell, x_I: Tensor) -> None:
        once = self.after(cell, x_I, [2.0])
        one = torch.cat([x_I, torch.ones(1, dtype=torch.float64)])
        twice = scan(cell, one.expand(1, 2, 3))[1]
        assert (once - twice).abs().max() > 1e-3

    def test_units_move_one_way_from_one_end_to_the_other(self, cell: CfCCell, x_I: Tensor) -> None:
        states_GH = self.after(cell, x_I, [-1e6, *range(-20, 21), 1e6])
        moves_GH = states_GH.diff(dim=0)
        assert ((moves_GH >= 0).all(dim=0) | (moves_GH <= 0).all(dim=0)).all()
        u_U = 1.7159 * torch.tanh(2 / 3 * (cell.weight_ih @ x_I + cell.bias))
        g_H, k_H, a_H, _ = (cell.heads.weight @ u_U + cell.heads.bias).detach().chunk(4)
        assert (a_H > 0).any()
        assert (a_H < 0).any()
        torch.testing.assert_close(states_GH[-1], torch.where(a_H > 0, k_H, g_H).tanh())
        torch.testing.assert_close(states_GH[0], torch.where(a_H > 0, g_H, k_H).tanh())

    def test_only_the_time_gate_sees_the_gap(self, cell: CfCCell, x_I: Tensor) -> None:
        with torch.no_grad():
            cell.heads.weight[2 * self.H : 3 * self.H] = 0
            cell.heads.bias[2 * self.H : 3 * self.H] = 0
        short, long = self.after(cell, x_I, [0.1, 9.0])
        assert torch.equal(short, long)
