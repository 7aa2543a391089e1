"""Equal cells share one trace, and cells that differ in anything that a step reads do not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnnkit.cells import Cell, LSTMCell, Zoneout
from rnnkit.engines import scan
from rnnkit.engines.compiled import kernels
from rnnkit.engines.compiled.trace import trace

X_BTI = torch.randn(2, 5, 3)


class Scaled(Cell[Tensor]):
    """A cell with an option, a buffer, and two weights that may be one."""

    def __init__(self, by: Any = 0.5, size: int = 4, *, tied: bool = False) -> None:
        super().__init__()
        self.input_size, self.output_size = 3, size
        self.by = by
        self.first = nn.Parameter(torch.randn(3, size))
        self.second = self.first if tied else nn.Parameter(torch.randn(3, size))
        self.register_buffer("shift", torch.randn(size))

    def initial_state(self, batch_size: int) -> Tensor:
        return self.first.new_zeros(batch_size, self.output_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        by = self.by() if callable(self.by) else self.by
        state = (by * state + x_BI @ self.first + x_BI @ self.second + self.shift).tanh()
        return state, state


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The classes of the cells that are traced in a test."""
    found: list[str] = []
    whole = trace.trace

    def watched(twin: Any, *given: Any, **options: Any) -> Any:
        found.append(type(twin.cell).__name__)
        return whole(twin, *given, **options)

    monkeypatch.setattr(trace, "trace", watched)
    monkeypatch.setattr(kernels, "_shared", {})
    return found


def gradients(cell: Cell[Any], engine: str) -> list[Tensor]:
    y_BTO, _ = scan(cell, X_BTI, engine=engine)
    return [y_BTO, *torch.autograd.grad(y_BTO.square().sum(), list(cell.parameters()))]


def agrees(cell: Cell[Any]) -> None:
    for found, wanted in zip(gradients(cell, "compiled"), gradients(cell, "reference"), strict=True):
        torch.testing.assert_close(found, wanted)


def test_equal_cells_share_a_trace_also_after_the_first_is_gone(traces: list[str]) -> None:
    for _ in range(3):
        agrees(Scaled())
        agrees(Zoneout(LSTMCell(3, 4), p=0.2).eval())
    assert traces == ["Scaled", "Zoneout"]


@pytest.mark.parametrize(
    "other",
    [
        lambda: Scaled(0.25),
        lambda: Scaled(size=5),
        lambda: Scaled(tied=True),
        lambda: Scaled().double().float().eval(),
        lambda: Scaled(lambda: 0.3),
        lambda: type("Scaled", (Scaled,), {})(),
    ],
    ids=["option", "size", "tied", "mode", "function", "class"],
)
def test_cells_that_differ_are_traced_apart(other: Callable[[], Scaled], traces: list[str]) -> None:
    agrees(Scaled())
    agrees(other())
    assert len(traces) == 2


def test_cells_with_a_closure_share_a_trace_if_it_holds_the_same(traces: list[str]) -> None:
    def constant(value: float) -> Callable[[], float]:
        return lambda: value

    for value in (0.3, 0.3, 0.6):
        agrees(Scaled(constant(value)))
    assert len(traces) == 2


def test_an_object_of_a_cell_that_is_gone_is_not_taken_for_another(traces: list[str]) -> None:
    class Constant:
        def __init__(self, value: float) -> None:
            self.value = value

        def __call__(self) -> float:
            return self.value

    for _ in range(3):
        agrees(Scaled(Constant(0.3)))
    assert len(traces) == 3


def test_few_kernels_are_kept(traces: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "MOST_SHARED", 2)
    for by in (0.1, 0.2, 0.3, 0.3, 0.1):
        agrees(Scaled(by))
    assert len(traces) == 4
