"""Lyapunov exponents and Jacobians, of maps and linear cells whose values are known."""

import math
from typing import Any

import pytest
import torch
from insight_cells import CELLS, INPUTS, Decay, H, Linear
from torch import Tensor

from rnnkit import RNN, SequenceBatch
from rnnkit.cells import Cell, GRUCell, LSTMCell
from rnnkit.errors import UserError
from rnnkit.insight import gradient_flow, jacobian_spectrum, lyapunov, recurrent_radii


class Map(Cell[Tensor]):
    """A map of the plane that ignores its input."""

    input_size, output_size = 1, 2

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.full((batch_size, 2), 0.1, dtype=torch.double)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        after = self.image(*state.unbind(1), x_BI[:, 0])
        return after, after


class Henon(Map):
    """Hénon (1976): the largest exponent is 0.419, and the sum is the logarithm of the constant contraction, 0.3."""

    def image(self, u: Tensor, v: Tensor, x: Tensor) -> Tensor:
        return torch.stack([1 - 1.4 * u**2 + v, 0.3 * u], dim=1)


class Logistic(Map):
    """u' = 4 u (1 - u), whose exponent is ln 2; v forgets at a rate of 0.5."""

    def image(self, u: Tensor, v: Tensor, x: Tensor) -> Tensor:
        return torch.stack([4 * u * (1 - u), 0.5 * v + x], dim=1)


@pytest.mark.parametrize(
    ("cell", "expected"), [(Henon(), (0.419, math.log(0.3) - 0.419)), (Logistic(), (0.693, -0.693))]
)
def test_chaotic_maps_have_their_known_exponents(cell: Map, expected: tuple[float, float]) -> None:
    start = 0.1 + 0.05 * torch.rand(6, 2, dtype=torch.double)
    found = lyapunov(cell, torch.zeros(6, 600, 1, dtype=torch.double), start, exponents=2)[
        "Henon" if isinstance(cell, Henon) else "Logistic"
    ]
    assert found.mean(0).tolist() == pytest.approx(expected, abs=0.02)
    if isinstance(cell, Henon):
        assert torch.allclose(found.sum(1), torch.tensor(math.log(0.3), dtype=torch.double), rtol=1e-12)


def test_linear_cells_have_the_logarithms_of_their_eigenvalues() -> None:
    x = torch.randn(2, 40, INPUTS, dtype=torch.double)
    found = lyapunov(RNN(Decay, INPUTS, H).double(), x)["cells.0"]
    assert torch.allclose(found, torch.full((2, 1), math.log(0.9), dtype=torch.double), rtol=1e-12)
    rotation = torch.linalg.qr(torch.randn(5, 5, dtype=torch.double))[0]
    cell = Linear(
        rotation @ torch.diag(torch.tensor([0.9, 0.7, 0.5, 0.3, 0.1]).double()) @ rotation.T,
        torch.zeros(5, INPUTS).double(),
    )
    found = lyapunov(cell, torch.randn(2, 200, INPUTS).double(), exponents=3, warmup=0.5)["Linear"]
    assert torch.allclose(found, torch.tensor([0.9, 0.7, 0.5]).log().double().expand(2, 3), atol=1e-6)
    spectrum = jacobian_spectrum(cell, x)["Linear"]
    assert torch.allclose(spectrum.spectral_radius, torch.full((4,), 0.9).double())
    assert torch.allclose(spectrum.singular_values, torch.tensor([0.9, 0.7, 0.5, 0.3, 0.1]).double().expand(4, 5))


@pytest.mark.parametrize("kind", CELLS)
def test_exponents_and_jacobians_with_padding_resets_and_both_directions(kind: str) -> None:
    """Two roads: products of the Jacobians of single steps, and the tangent that is carried along."""
    rnn = RNN(CELLS[kind], INPUTS, H, bidirectional=True).double()
    x = torch.randn(2, 8, INPUTS, dtype=torch.double)
    reset = torch.zeros(2, 8, dtype=torch.bool)
    reset[0, 3] = True
    batch = SequenceBatch(x, torch.empty(0), torch.tensor([8, 5]), reset=reset)
    spectra = jacobian_spectrum(rnn, batch, points=13)
    for name in ("cells.0", "cells.1"):
        # the sum of the logarithms of all singular values of a step is that of its determinant: no direction matters
        full = lyapunov(rnn, batch, exponents=spectra[name].singular_values.shape[1], warmup=0)[name]
        logs = spectra[name].singular_values.log().sum(1)
        for b, length in enumerate([8, 5]):
            assert float(full[b].sum()) == pytest.approx(float(logs[spectra[name].row == b].sum()) / length, rel=1e-6)


def test_the_slope_of_the_flow_is_the_exponent() -> None:
    """Two independent measures of the same rate, on the same trajectory."""
    for kind in (LSTMCell, GRUCell):
        rnn = RNN(kind, INPUTS, 16).double()
        x = torch.randn(4, 120, INPUTS, dtype=torch.double)
        logs = gradient_flow(rnn, x)["cells.0"].by_lag.log()
        slope = float(logs[99] - logs[19]) / 80
        assert slope == pytest.approx(float(lyapunov(rnn, x)["cells.0"].mean()), abs=0.02)


def test_bad_arguments_and_recurrent_weights() -> None:
    rnn, x = RNN(GRUCell, INPUTS, H), torch.randn(2, 5, INPUTS)
    for options in ({"exponents": H + 1}, {"exponents": 0}, {"warmup": 1.0}):
        wanted: dict[str, Any] = options
        with pytest.raises(UserError):
            lyapunov(rnn, x, **wanted)
    orthogonal = recurrent_radii(rnn.cell_at(0))
    assert list(orthogonal.values()) == pytest.approx([1.0] * 3, rel=1e-5)
