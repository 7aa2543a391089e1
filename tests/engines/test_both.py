"""Both directions of a layer at once are two scans."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parametrize

from rnnkit import scan
from rnnkit.cells import Cell, ElmanCell, GRUCell, LSTMCell, MGUCell, state_leaves
from rnnkit.engines import native_kernels
from rnnkit.engines.both import scan_both

CELLS: dict[str, Callable[[int, int], Cell[Any]]] = {
    "LSTM": LSTMCell,
    "LSTM without bias": partial(LSTMCell, bias=False),
    "GRU": GRUCell,
    "tanh": ElmanCell,
    "relu": partial(ElmanCell, nonlinearity="relu"),
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with every call of the kernel for two directions."""
    found: list[str] = []
    original = native_kernels.run_both
    monkeypatch.setattr(native_kernels, "run_both", lambda *given: (found.append("both"), original(*given))[1])
    return found


def pair(cell: Callable[[int, int], Cell[Any]]) -> tuple[Cell[Any], Cell[Any]]:
    torch.manual_seed(0)
    return cell(3, 5).double(), cell(3, 5).double()


def compare(cells: tuple[Cell[Any], Cell[Any]], engine: str, **options: Any) -> None:
    """Values and gradients of outputs and states against the Python loop."""
    x_BTI = torch.randn(4, 7, 3, dtype=torch.float64, requires_grad=True)

    def everything(y_BTO: Tensor, ends: tuple[Any, Any]) -> list[Tensor]:
        values = [y_BTO, *state_leaves(ends[0]), *state_leaves(ends[1])]
        loss = torch.stack([(value * torch.arange(1.0, value.numel() + 1).view_as(value)).sum() for value in values])
        learned = [x_BTI, *cells[0].parameters(), *cells[1].parameters()]
        return [*values, *torch.autograd.grad(loss.sum(), learned)]

    found = everything(*scan_both(cells, x_BTI, engine=engine, **options))
    scans = [
        scan(cell, x_BTI, reverse=back, engine="reference", **options)
        for cell, back in zip(cells, (False, True), strict=True)
    ]
    expected = everything(torch.cat([y_BTO for y_BTO, _ in scans], dim=2), (scans[0][1], scans[1][1]))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", CELLS)
def test_one_call_of_the_kernel(name: str, calls: list[str]) -> None:
    compare(pair(CELLS[name]), "native")
    assert calls == ["both"]


def test_what_the_kernel_does_not_know_is_two_scans(calls: list[str]) -> None:
    compare(pair(LSTMCell), "native", lengths=torch.tensor([7, 3, 0, 1]))
    compare(pair(LSTMCell), "native", reset=torch.rand(4, 7) < 0.3)
    compare(pair(LSTMCell), "native", checkpoint_every=2)
    compare(pair(LSTMCell), "reference")
    compare(pair(MGUCell), "auto")
    compare((LSTMCell(3, 5).double(), LSTMCell(3, 6).double()), "native")
    compare((LSTMCell(3, 5).double(), GRUCell(3, 5).double()), "native")
    compare((ElmanCell(3, 5).double(), ElmanCell(3, 5, nonlinearity="relu").double()), "native")
    assert calls == []


def test_computed_weights_and_given_states_are_two_scans(calls: list[str]) -> None:
    class Halved(torch.nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return weight / 2

    cells = pair(LSTMCell)
    parametrize.register_parametrization(cells[1], "weight_hh", Halved())
    compare(cells, "auto")
    x_BTI, (one, other) = torch.randn(4, 7, 3, dtype=torch.float64), pair(LSTMCell)
    states = (one.initial_state(4), other.initial_state(4))
    y_BTO, _ = scan_both((one, other), x_BTI, states, engine="native")
    compared, _ = scan_both(pair(GRUCell), x_BTI, (torch.zeros(4, 5).double(), torch.zeros(4, 5).double()))
    assert compared.shape == (4, 7, 10)
    assert calls == []
    torch.testing.assert_close(y_BTO, scan_both((one, other), x_BTI, engine="native")[0])
    assert calls == ["both"]


def test_no_rows_few_steps_and_lower_precision() -> None:
    cells = (LSTMCell(3, 5), LSTMCell(3, 5))
    for B, T in ((0, 7), (4, 0), (4, 1), (4, 2)):
        y_BTO, ends = scan_both(cells, torch.zeros(B, T, 3))
        assert y_BTO.shape == (B, T, 10)
        assert [leaf.shape for end in ends for leaf in state_leaves(end)] == [(B, 5)] * 4
    with torch.autocast("cpu", torch.bfloat16):
        _, ends = scan_both(cells, torch.randn(4, 7, 3))
    assert {leaf.dtype for end in ends for leaf in state_leaves(end)} == {torch.float32}
