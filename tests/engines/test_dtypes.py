"""Input, state and weights in any dtypes: the numbers of the Python loop, or the error that it ends in."""

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnnkit import RNN
from rnnkit.cells import (
    Cell,
    ElmanCell,
    GRUCell,
    LayerNormLSTMCell,
    LSTMCell,
    MinGRUCell,
    SLSTMCell,
    map_state,
    state_leaves,
)
from rnnkit.engines import ENGINES, explain, scan
from rnnkit.engines.policy import refusal
from rnnkit.engines.request import Request

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
TOLERANCE = {torch.float16: 2e-2, torch.bfloat16: 1e-1, torch.float32: 1e-4, torch.float64: 1e-9}


class Leaky(Cell[Tensor]):
    """A step that nobody has seen before."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.a, self.b = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size, bias=False)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.a.weight.new_zeros(batch_size, self.output_size)

    def forward(self, x_BI: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = 0.7 * h + 0.3 * torch.tanh(self.a(x_BI) + self.b(h))
        return h, h


class Average(Cell[Tensor]):
    """No product: torch promotes where dtypes differ, and refuses nothing."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size = self.output_size = input_size
        self.rate = nn.Parameter(torch.rand(input_size))

    def initial_state(self, batch_size: int) -> Tensor:
        return self.rate.new_zeros(batch_size, self.input_size)

    def forward(self, x_BI: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = self.rate * h + (1 - self.rate) * x_BI
        return h, h


CELLS: list[Callable[[int, int], Cell[Any]]] = [
    LSTMCell,
    GRUCell,
    ElmanCell,
    LayerNormLSTMCell,
    MinGRUCell,
    Leaky,
    Average,
]


def results(cell: Cell[Any], x: Tensor, state: Any, engine: str) -> list[Tensor]:
    """Outputs, end and gradients."""
    y, end = scan(cell, x, state, engine=engine)
    values = [y, *state_leaves(end)]
    total = torch.stack([value.double().square().sum() for value in values]).sum()
    return [*values, *torch.autograd.grad(total, list(cell.parameters()), allow_unused=True, materialize_grads=True)]


def attempt(*arguments: Any) -> list[Tensor] | str:
    """What comes out, or the kind of error."""
    try:
        return results(*arguments)
    except RuntimeError as error:
        assert "dtype" in str(error) or "type" in str(error) or "not implemented" in str(error)  # noqa: PT017
        return type(error).__name__


def agree(cell: Cell[Any], x: Tensor, state: Any) -> None:
    """Every engine that would run this, and `auto`, against the loop."""
    wanted = attempt(cell, x, state, "reference")
    engines = [name for name in ENGINES if refusal(name, Request(cell, x, cell.initial_state(2))) is None]
    for engine in ("auto", *engines):
        found = attempt(cell, x, state, engine)
        if isinstance(wanted, str) or isinstance(found, str):
            assert found == wanted, engine
            continue
        for one, other in zip(found, wanted, strict=True):
            assert one.dtype == other.dtype, engine
            tolerance = max(TOLERANCE.get(part.dtype, 0) for part in (x, one, *state_leaves(state), *cell.parameters()))
            tolerance *= max(1, other.detach().abs().max().item())
            torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance, msg=lambda m, e=engine: f"{e}: {m}")  # type: ignore[misc]


def check(
    factory: Callable[[int, int], Cell[Any]], x: torch.dtype, state: torch.dtype, weights: torch.dtype, T: int
) -> None:
    cell = factory(4, 5).to(weights)
    given = map_state(lambda leaf: (leaf + 0.1).to(state), cell.initial_state(2))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*runs as a Python loop: it")
        agree(cell, torch.linspace(-2, 2, 2 * T * 4).view(2, T, 4).to(x), given)


@pytest.mark.parametrize("cell", [LSTMCell, LayerNormLSTMCell, MinGRUCell, Leaky, Average])
@pytest.mark.parametrize(
    ("x", "state", "weights"),
    [
        (torch.float64, torch.float32, torch.float32),
        (torch.float32, torch.float64, torch.float64),
        (torch.float32, torch.float64, torch.float32),
        (torch.float16, torch.float32, torch.float32),
        (torch.int64, torch.float32, torch.float32),
        (torch.float16, torch.float16, torch.float16),
    ],
)
def test_dtypes_that_differ(cell: Any, x: torch.dtype, state: torch.dtype, weights: torch.dtype) -> None:
    check(cell, x, state, weights, 16)


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("T", [1, 8, 16, 100])
def test_every_mix_of_dtypes(cell: Any, T: int) -> None:
    for x, state, weights in itertools.product([*FLOATS, torch.int64], FLOATS, FLOATS):
        check(cell, x, state, weights, T)


@pytest.mark.parametrize("engine", ["auto", "native", "compiled", "parallel"])
@pytest.mark.parametrize("T", [1, 2, 8, 16])
def test_the_error_is_torchs(engine: str, T: int) -> None:
    cell = MinGRUCell(4, 5) if engine == "parallel" else LSTMCell(4, 5)
    with pytest.raises(RuntimeError, match="have the same dtype"):
        scan(cell, torch.ones(2, T, 4, dtype=torch.float64), engine=engine)
    with torch.no_grad(), pytest.raises(RuntimeError, match="dtype"):
        scan(cell, torch.ones(2, T, 4, dtype=torch.float64), cell.initial_state(2), engine=engine)


def test_one_weight_of_another_dtype(written: Any) -> None:
    cell = written(lambda c, x, h: (torch.tanh(c.mix(x, h)), torch.tanh(c.mix(x, h))))
    cell.u.data = cell.u.data.double()
    agree(cell, torch.ones(2, 20, 3), torch.zeros(2, 6))
    gru: Any = GRUCell(3, 5)
    gru.bias_hh.data = gru.bias_hh.data.double()
    agree(gru, torch.ones(2, 20, 3), torch.zeros(2, 5))


def test_both_directions() -> None:
    rnn = RNN(LSTMCell, 4, 5, bidirectional=True)
    with pytest.raises(RuntimeError, match="dtype"):
        rnn(torch.ones(2, 20, 4, dtype=torch.float64))


@pytest.mark.parametrize("cell", [LSTMCell, LayerNormLSTMCell, SLSTMCell, Leaky])
@pytest.mark.filterwarnings("ignore:.*as a Python loop. it computes in torch.float16")
def test_half_precision(cell: Any) -> None:
    """A loop where the compiler knows no float16."""
    check(cell, torch.float16, torch.float16, torch.float16, 24)
    check(cell, torch.bfloat16, torch.bfloat16, torch.bfloat16, 24)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_a_stream_that_changes_its_dtype(dtype: torch.dtype) -> None:
    """A step that was prepared for one dtype is not taken with another."""
    cell = Leaky(4, 5)
    with torch.no_grad():
        _, state = scan(cell, torch.ones(2, 1, 4), cell.initial_state(2), engine="compiled")
        with pytest.raises(RuntimeError, match="dtype"):
            scan(cell, torch.ones(2, 1, 4, dtype=dtype), state, engine="compiled")
        with pytest.raises(RuntimeError, match="dtype"):
            scan(cell, torch.ones(2, 1, 4), state.to(dtype), engine="compiled")


@pytest.mark.parametrize("engine", ["compiled", "auto"])
def test_autocast_takes_a_state_of_lower_precision(engine: str) -> None:
    cell = Leaky(4, 5)
    x, state = torch.linspace(-1, 1, 160).view(2, 20, 4), torch.full((2, 5), 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        wanted = scan(cell, x, state.bfloat16(), engine="reference")[0]
        found, end = scan(cell, x, state.bfloat16(), engine=engine)
    torch.testing.assert_close(found, wanted, rtol=1e-1, atol=1e-1)
    assert end.dtype == torch.bfloat16


def test_float16_under_autocast_is_left_to_the_loop() -> None:
    cell = LSTMCell(3, 4).half()
    x_BTI = torch.randn(2, 3, 3).half()
    with torch.autocast("cpu", torch.bfloat16):
        has_kernel = "does not multiply" not in explain(cell, x_BTI, lengths=[3, 1]).ruled_out.get("native", "")
        engines = ("reference", "auto", *(("native",) if has_kernel else ()))
        found = [scan(cell, x_BTI, lengths=[3, 1], engine=engine)[0] for engine in engines]
    for y_BTO in found[1:]:
        torch.testing.assert_close(y_BTO, found[0])
