"""Which engine runs: asked cheaply, traced once, and explained as it is."""

from typing import Any

import pytest
import torch
from torch import Tensor

from rnnkit.cells import Cell, ElmanCell, GRUCell, LayerNormLSTMCell, LSTMCell, MinGRUCell
from rnnkit.engines import ENGINES, explain, observe, policy, scan
from rnnkit.engines.both import scan_both
from rnnkit.engines.compiled import kernels
from rnnkit.engines.compiled.trace import trace
from rnnkit.engines.request import Request
from rnnkit.engines.window import Window

LENGTHS = torch.tensor([20, 7])


class Leaky(Cell[Tensor]):
    def __init__(self) -> None:
        super().__init__()
        self.input_size = self.output_size = 3
        self.map = torch.nn.Linear(3, 3)

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, 3)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        h_BH = 0.9 * state + torch.tanh(self.map(x_BI))
        return h_BH, h_BH


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each trace that is made is one for padded batches."""
    made: list[bool] = []
    original = trace.trace

    def counted(*arguments: Any, masked: bool, **options: Any) -> Any:
        made.append(masked)
        return original(*arguments, masked=masked, **options)

    monkeypatch.setattr(trace, "trace", counted)
    monkeypatch.setattr(kernels, "_shared", {})
    return made


@pytest.mark.parametrize("engine", ["auto", "compiled"])
@pytest.mark.parametrize(
    ("options", "masked"),
    [({}, False), ({"lengths": LENGTHS}, True), ({"reset": torch.zeros(2, 20, dtype=torch.bool)}, True)],
)
def test_one_trace_for_what_is_run(engine: str, options: dict[str, Any], masked: bool, traces: list[bool]) -> None:
    cell, x = Leaky(), torch.randn(2, 20, 3)
    for _ in range(2):
        scan(cell, x, engine=engine, **options)
    assert traces == [masked]
    assert explain(cell, x, engine=engine, **options).engine == "compiled"
    assert traces == [masked]


def test_a_layer_in_both_directions_is_traced_once(traces: list[bool]) -> None:
    scan_both((Leaky(), Leaky()), torch.randn(2, 20, 3), lengths=LENGTHS)
    assert traces == [True]


def test_a_question_leaves_nothing_behind(traces: list[bool]) -> None:
    cell, x = Leaky(), torch.randn(2, 20, 3)
    request = Request(cell, x, cell.initial_state(2), Window(LENGTHS, None, False))
    for engine in ENGINES.values():
        engine.unsupported(request)
    for name in ENGINES:
        policy.slower(name, request)
    assert traces == []


@pytest.mark.parametrize("return_states", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("steps", [1, 2, 20])
@pytest.mark.parametrize("kind", [LSTMCell, GRUCell, ElmanCell, MinGRUCell, LayerNormLSTMCell])
def test_what_is_explained_is_what_runs(kind: Any, steps: int, lengths: Any, return_states: bool) -> None:
    cell, x, ran = kind(3, 4), torch.randn(2, steps, 3), []
    options: dict[str, Any] = {"lengths": None if lengths is None else lengths.clamp(max=steps)}
    options["return_states"] = return_states
    with observe(lambda event: ran.append(event.engine)):
        scan(cell, x, **options)
    found = explain(cell, x, **options)
    assert [found.engine] == ran
    assert set(found.ruled_out) == set(ENGINES) - {found.engine}
