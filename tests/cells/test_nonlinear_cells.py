"""Each nonlinear cell against its paper's equations, written out in numpy for one row and one gate at a time."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from rnnkit.cells import (
    AntisymmetricCell,
    Cell,
    CfCCell,
    CoRNNCell,
    CoupledLSTMCell,
    IndRNNCell,
    LayerNormGRUCell,
    LayerNormLSTMCell,
    LEMCell,
    LiGRUCell,
    MGUCell,
    PeepholeLSTMCell,
    SLSTMCell,
    map_state,
    state_leaves,
)
from rnnkit.testing import check_cell

Array = NDArray[np.float64]
INPUTS, H = 4, 6


class Weights:
    """The numbers of a cell, by name and gate."""

    def __init__(self, cell: Cell[Any]) -> None:
        self.arrays = {name: value.detach().numpy() for name, value in cell.state_dict().items()}

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def gate(self, name: str, index: int) -> Array:
        return self.arrays[name][index * H : (index + 1) * H]


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def relu(a: Array) -> Array:
    return np.where(a > 0, a, 0.0)


def normed(a: Array, gain: Array, bias: Array | float = 0.0) -> Array:
    spread = np.sqrt(np.mean((a - np.mean(a)) ** 2) + 1e-5)
    return gain * (a - np.mean(a)) / spread + bias


def layer_norm_lstm(w: Weights, x: Array, h: Array, c: Array) -> list[Array]:
    of_x = normed(w["weight_ih"] @ x, w["norm_ih.weight"], w["norm_ih.bias"])
    of_h = normed(w["weight_hh"] @ h, w["norm_hh.weight"])
    i, f, g, o = (of_x[k * H : (k + 1) * H] + of_h[k * H : (k + 1) * H] for k in range(4))
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(normed(c, w["norm_c.weight"], w["norm_c.bias"]))
    return [h, h, c]


def layer_norm_gru(w: Weights, x: Array, h: Array) -> list[Array]:
    gates = normed(w["weight_ih"][: 2 * H] @ x, w["norm_ih_rz.weight"], w["norm_ih_rz.bias"])
    gates = gates + normed(w["weight_hh"][: 2 * H] @ h, w["norm_hh_rz.weight"])
    r, z = sigmoid(gates[:H]), sigmoid(gates[H:])
    of_x = normed(w.gate("weight_ih", 2) @ x, w["norm_ih_n.weight"], w["norm_ih_n.bias"])
    of_h = normed(w.gate("weight_hh", 2) @ h, w["norm_hh_n.weight"], w["norm_hh_n.bias"])
    h = (1 - z) * np.tanh(of_x + r * of_h) + z * h
    return [h, h]


def peephole_lstm(w: Weights, x: Array, h: Array, c: Array) -> list[Array]:
    i, f, g, o = (w.gate("weight_ih", k) @ x + w.gate("weight_hh", k) @ h + w.gate("bias", k) for k in range(4))
    p_i, p_f, p_o = (w.gate("weight_ch", k) for k in range(3))
    new = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * np.tanh(g)
    h = sigmoid(o + p_o * new) * np.tanh(new)
    return [h, h, new]


def coupled_lstm(w: Weights, x: Array, h: Array, c: Array) -> list[Array]:
    f, g, o = (w.gate("weight_ih", k) @ x + w.gate("weight_hh", k) @ h + w.gate("bias", k) for k in range(3))
    c = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return [h, h, c]


def mgu(w: Weights, x: Array, h: Array) -> list[Array]:
    f = sigmoid(w.gate("weight_ih", 0) @ x + w.gate("weight_hh", 0) @ h + w.gate("bias", 0))
    n = np.tanh(w.gate("weight_ih", 1) @ x + w.gate("weight_hh", 1) @ (f * h) + w.gate("bias", 1))
    h = (1 - f) * h + f * n
    return [h, h]


def indrnn(w: Weights, x: Array, h: Array, activation: Callable[[Array], Array]) -> list[Array]:
    h = np.array([activation(w["weight_ih"][k] @ x + w["weight_hh"][k] * h[k] + w["bias"][k]) for k in range(H)])
    return [h, h]


def ligru(w: Weights, x: Array, h: Array) -> list[Array]:
    of_x = normed(w["weight_ih"] @ x, w["norm_ih.weight"], w["norm_ih.bias"])
    z = sigmoid(of_x[:H] + w.gate("weight_hh", 0) @ h)
    h = z * h + (1 - z) * relu(of_x[H:] + w.gate("weight_hh", 1) @ h)
    return [h, h]


def slstm(w: Weights, x: Array, h: Array, c: Array, n: Array, m: Array, *, heads: int, exp: bool) -> list[Array]:
    """The equations without a stabilizer, on a state whose true cell and normalizer are c exp(m) and n exp(m)."""
    width = H // heads
    gates = []
    for k in range(4):
        recurrent = np.zeros((H, H))
        for head in range(heads):
            own = slice(head * width, (head + 1) * width)
            recurrent[own, own] = w.gate("weight_hh", k)[own]
        gates.append(w.gate("weight_ih", k) @ x + recurrent @ h + w.gate("bias", k))
    i, f, z, o = gates
    forget = np.exp(f) if exp else sigmoid(f)
    true_c = forget * c * np.exp(m) + np.exp(i) * np.tanh(z)
    true_n = forget * n * np.exp(m) + np.exp(i)
    m = np.maximum(np.log(forget) + m, i)
    h = sigmoid(o) * true_c / true_n
    return [h, h, true_c / np.exp(m), true_n / np.exp(m), m]


def cornn(w: Weights, x: Array, y: Array, z: Array, *, dt: float, gamma: float, epsilon: float) -> list[Array]:
    own, moving = w["weight_hh"][:, :H], w["weight_hh"][:, H:]
    force = np.tanh(own @ y + moving @ z + w["weight_ih"] @ x + w["bias"])
    z_new = z + dt * force - dt * gamma * y - dt * epsilon * z
    y_new = y + dt * z_new
    return [y_new, y_new, z_new]


def lem(w: Weights, x: Array, y: Array, z: Array, *, dt: float) -> list[Array]:
    def part(k: int, of: Array) -> Array:
        return w.gate("weight_hh", k) @ of + w.gate("weight_ih", k) @ x + w.gate("bias", k)

    dt_z = dt * 0.5 * (1 + np.tanh(part(0, y) / 2))
    dt_y = dt * 0.5 * (1 + np.tanh(part(1, y) / 2))
    z = (1 - dt_z) * z + dt_z * np.tanh(part(2, y))
    y = (1 - dt_y) * y + dt_y * np.tanh(part(3, z))
    return [y, y, z]


def antisymmetric(w: Weights, x: Array, h: Array, *, step: float, diffusion: float, gated: bool) -> list[Array]:
    system = w["weight_hh"] - w["weight_hh"].T - diffusion * np.eye(H)
    change = np.tanh(w.gate("weight_ih", 0) @ x + system @ h + w.gate("bias", 0))
    if gated:
        change = change * sigmoid(w.gate("weight_ih", 1) @ x + system @ h + w.gate("bias", 1))
    h = h + step * change
    return [h, h]


def cfc(w: Weights, x: Array, h: Array, *, elapsed_time: bool) -> list[Array]:
    seen, gap = (x[:-1], x[-1]) if elapsed_time else (x, 1.0)
    both = np.concatenate([w["weight_ih"], w["weight_hh"]], axis=1)
    u = 1.7159 * np.tanh(2 / 3 * (both @ np.concatenate([seen, h]) + w["bias"]))
    g, k, a, d = (w.gate("heads.weight", n) @ u + w.gate("heads.bias", n) for n in range(4))
    toward_g = sigmoid(-(a * gap + d))
    h = toward_g * np.tanh(g) + (1 - toward_g) * np.tanh(k)
    return [h, h]


class Case(NamedTuple):
    cell: Callable[[int, int], Cell[Any]]
    step: Callable[..., list[Array]]
    parameters: int


CASES = {
    "layer-norm-lstm": Case(LayerNormLSTMCell, layer_norm_lstm, 4 * H * (INPUTS + H) + 8 * H + 4 * H + 2 * H),
    "layer-norm-gru": Case(LayerNormGRUCell, layer_norm_gru, 3 * H * (INPUTS + H) + 6 * H + 4 * H),
    "peephole-lstm": Case(PeepholeLSTMCell, peephole_lstm, 4 * H * (INPUTS + H + 1) + 3 * H),
    "coupled-lstm": Case(CoupledLSTMCell, coupled_lstm, 3 * H * (INPUTS + H + 1)),
    "mgu": Case(MGUCell, mgu, 2 * H * (INPUTS + H + 1)),
    "indrnn": Case(IndRNNCell, partial(indrnn, activation=relu), H * (INPUTS + 2)),
    "indrnn-tanh": Case(
        partial(IndRNNCell, nonlinearity="tanh"), partial(indrnn, activation=np.tanh), H * (INPUTS + 2)
    ),
    "ligru": Case(LiGRUCell, ligru, 2 * H * (INPUTS + H) + 4 * H),
    "slstm": Case(SLSTMCell, partial(slstm, heads=1, exp=False), 4 * H * (INPUTS + H + 1)),
    "slstm-exp": Case(
        partial(SLSTMCell, forget_gate="exp"), partial(slstm, heads=1, exp=True), 4 * H * (INPUTS + H + 1)
    ),
    "slstm-2-heads": Case(
        partial(SLSTMCell, num_heads=2), partial(slstm, heads=2, exp=False), 4 * H * (INPUTS + H // 2 + 1)
    ),
    "slstm-H-heads-exp": Case(
        partial(SLSTMCell, num_heads=H, forget_gate="exp"), partial(slstm, heads=H, exp=True), 4 * H * (INPUTS + 1 + 1)
    ),
    "cornn": Case(
        partial(CoRNNCell, dt=0.1, gamma=2.0, epsilon=3.0),
        partial(cornn, dt=0.1, gamma=2.0, epsilon=3.0),
        H * (INPUTS + 2 * H + 1),
    ),
    "lem": Case(partial(LEMCell, dt=0.7), partial(lem, dt=0.7), 4 * H * (INPUTS + H + 1)),
    "antisymmetric": Case(
        partial(AntisymmetricCell, step_size=0.3, diffusion=0.2),
        partial(antisymmetric, step=0.3, diffusion=0.2, gated=False),
        H * (INPUTS + H + 1),
    ),
    "antisymmetric-gated": Case(
        partial(AntisymmetricCell, step_size=0.3, diffusion=0.2, gated=True),
        partial(antisymmetric, step=0.3, diffusion=0.2, gated=True),
        H * (2 * INPUTS + H + 2),
    ),
    "cfc": Case(partial(CfCCell, backbone_size=7), partial(cfc, elapsed_time=False), 7 * (INPUTS + H + 1) + 4 * H * 8),
    "cfc-time-gap": Case(
        partial(CfCCell, backbone_size=7, elapsed_time=True),
        partial(cfc, elapsed_time=True),
        7 * (INPUTS - 1 + H + 1) + 4 * H * 8,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_three_steps_are_the_papers(name: str) -> None:
    case = CASES[name]
    cell = case.cell(INPUTS, H).double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter)
    w = Weights(cell)
    x_BTI = torch.randn(3, 3, INPUTS, dtype=torch.float64)
    state = map_state(torch.randn_like, cell.initial_state(3))
    if isinstance(cell, SLSTMCell):
        state = state._replace(normalizer=state.normalizer.exp())
    rows = [[leaf[b].numpy() for leaf in state_leaves(state)] for b in range(3)]
    for t in range(3):
        output, state = cell(x_BTI[:, t], state)
        for b in range(3):
            wanted, *rows[b] = case.step(w, x_BTI[b, t].numpy(), *rows[b])
            found = [output, *state_leaves(state)]
            for leaf, array in zip(found, [wanted, *rows[b]], strict=True):
                np.testing.assert_allclose(leaf[b].detach().numpy(), array, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_number_of_parameters(name: str) -> None:
    cell = CASES[name].cell(INPUTS, H)
    assert sum(parameter.numel() for parameter in cell.parameters()) == CASES[name].parameters


@pytest.mark.parametrize("name", CASES)
def test_every_parameter_has_a_gradient_from_the_first_values_on(name: str) -> None:
    cell = CASES[name].cell(INPUTS, H)
    state = cell.initial_state(3)
    for x_BI in torch.randn(4, 3, INPUTS):
        output, state = cell(x_BI, state)
    output.square().sum().backward()
    assert [key for key, p in cell.named_parameters() if p.grad is None or not p.grad.any()] == []


# The other options are what the YAMLs say, which the contract test checks.
OPTIONS = ["indrnn-tanh", "slstm-exp", "slstm-2-heads", "slstm-H-heads-exp", "antisymmetric-gated", "cfc-time-gap"]


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_the_other_options_keep_the_promises(name: str) -> None:
    check_cell(CASES[name].cell, input_size=3, hidden_size=H)
