"""When all steps may be taken at once, and that the loop then finds the same."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from rnnkit import scan
from rnnkit.cells import LinearCell, LRUCell, LSTMCell, MinGRUCell, MinLSTMCell, QRNNCell, RGLRUCell, SRUCell
from rnnkit.engines import explain, parallel
from rnnkit.engines.request import Request
from rnnkit.errors import UserError
from rnnkit.testing import check_cell

CELLS = [MinGRUCell, MinLSTMCell, SRUCell, QRNNCell, LRUCell, RGLRUCell]
X = torch.zeros(2, 4, 3)


class LearnedStart(LinearCell):
    """A factor that is the same at all steps, of any sign; a learned initial state; a wider output."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.output_size = input_size + hidden_size
        self.start_H = nn.Parameter(torch.randn(hidden_size))
        self.a_H = nn.Parameter(torch.linspace(-1.1, 1.1, hidden_size))
        self.input_map = nn.Linear(input_size, hidden_size)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.start_H.expand(batch_size, -1)

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.a_H, self.input_map(x)

    def readout(self, h: Tensor, x: Tensor) -> Tensor:
        return torch.cat([h, x], dim=-1)


def results(cell: Any, x_BTI: Tensor, state: Tensor, **options: Any) -> list[Tensor]:
    """Values and the gradients of a random sum of them."""
    x_BTI, state = x_BTI.clone().requires_grad_(), state.clone().requires_grad_()
    torch.manual_seed(1)
    values = scan(cell, x_BTI, state, **options)
    total = sum((value * torch.randn_like(value)).sum() for value in values)
    assert isinstance(total, Tensor)
    sources = [x_BTI, state, *cell.parameters()]
    return [*values, *torch.autograd.grad(total.real, sources, allow_unused=True, materialize_grads=True)]


@pytest.mark.parametrize("cell", [*CELLS, LearnedStart])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_work_cut_to_the_cache_is_the_loops(
    cell: Any, padded: bool, resets: bool, reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "CACHED_NUMBERS", 0)
    monkeypatch.setattr(parallel, "MIN_ROWS", 24)
    built = cell(3, 5).double()
    x_BTI = torch.randn(3, 35, 3, dtype=torch.float64)
    state = torch.randn_like(built.initial_state(3))
    lengths = torch.tensor([35, 17, 0]) if padded else None
    if padded:
        x_BTI[1, 17:] = torch.nan
    reset = torch.rand(3, 35) < 0.1 if resets else None
    options: dict[str, Any] = {"lengths": lengths, "reset": reset, "reverse": reverse}
    found = results(built, x_BTI, state, **options, engine="parallel")
    wanted = results(built, x_BTI, state, **options, engine="reference")
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_a_learned_initial_state_and_a_wider_output_keep_the_promises() -> None:
    check_cell(LearnedStart)


@pytest.mark.parametrize("cell", CELLS)
def test_long_sequences_in_single_precision(cell: Any) -> None:
    built = cell(3, 8)
    x_BTI = torch.randn(2, 3000, 3)
    state = torch.randn_like(built.initial_state(2))
    found = scan(built, x_BTI, state, engine="parallel")
    wanted = scan(built.double(), x_BTI.double(), state, engine="reference")
    for mine, truth in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine.to(truth.dtype), truth, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
def test_half_precision_has_the_loops_dtypes(cell: Any, weights: torch.dtype) -> None:
    built = cell(3, 8).to(weights)
    x_BTI = torch.randn(2, 30, 3).to(weights)
    state = torch.randn_like(built.initial_state(2))
    with torch.autocast("cpu", torch.bfloat16, enabled=weights == torch.float32):
        found = scan(built, x_BTI, state, engine="parallel")
        wanted = scan(built, x_BTI, state, engine="reference")
    torch.testing.assert_close(found, wanted, rtol=5e-2, atol=5e-2)


class OwnForward(MinGRUCell):
    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        y_BH, state = super().forward(x_BI, state)
        return y_BH, torch.tanh(state)


def with_hook() -> LinearCell:
    cell = MinGRUCell(3, 5)
    cell.register_forward_hook(lambda *_: None)
    return cell


def with_hook_inside() -> LinearCell:
    cell = MinGRUCell(3, 5)
    cell.input_map.register_forward_pre_hook(lambda *_: None)
    return cell


def with_replaced_forward() -> LinearCell:
    cell = MinGRUCell(3, 5)
    cell.forward = cell.forward  # type: ignore[method-assign]
    return cell


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: LSTMCell(3, 5), "LSTMCell is not a LinearCell"),
        (lambda: OwnForward(3, 5), "OwnForward overrides forward"),
        (with_hook, "hook"),
        (with_hook_inside, "hook or a replaced forward of Linear"),
        (with_replaced_forward, "replaced forward"),
    ],
)
def test_what_must_be_stepped_is_left_to_other_engines(build: Any, reason: str) -> None:
    cell = build()
    explanation = explain(cell, X)
    assert explanation.engine != "parallel"
    assert reason in explanation.ruled_out["parallel"]
    with pytest.raises(UserError, match=reason):
        scan(cell, X, engine="parallel")


def test_a_forward_of_its_own_is_what_runs() -> None:
    cell = OwnForward(3, 5)
    x_BTI = torch.randn(2, 9, 3)
    h_BH = cell.initial_state(2)
    for x_BI in x_BTI.unbind(1):
        y_BH, h_BH = cell(x_BI, h_BH)
    found_BTO, end_BH = scan(cell, x_BTI)
    torch.testing.assert_close((found_BTO[:, -1], end_BH), (y_BH, h_BH))


def test_every_linear_cell_takes_all_steps_at_once_and_a_live_stream_single_ones() -> None:
    for cell in CELLS:
        assert explain(cell(3, 5), X).engine == "parallel"
        live = explain(cell(3, 5), X[:, :1])
        assert live.engine != "parallel"
        assert "a scan takes longer to set up" in live.ruled_out["parallel"]
        assert explain(cell(3, 5), X[:, :1], engine="parallel").engine == "parallel"


def test_a_computed_weight_is_no_hindrance() -> None:
    cell = MinGRUCell(3, 5)
    parametrizations.weight_norm(cell.input_map)
    x_BTI = torch.randn(2, 9, 3)
    assert explain(cell, x_BTI).engine == "parallel"
    torch.testing.assert_close(scan(cell, x_BTI), scan(cell, x_BTI, engine="reference"))
    assert scan(cell, x_BTI, engine="parallel")[0].shape == (2, 9, 5)


def test_a_torch_func_transform_is_left_to_other_engines() -> None:
    cell = MinGRUCell(3, 5)
    x_NBTI = torch.randn(6, 2, 4, 3)
    mapped = torch.func.vmap(lambda x_BTI: scan(cell, x_BTI)[0])(x_NBTI)
    torch.testing.assert_close(mapped, torch.stack([scan(cell, x_BTI)[0] for x_BTI in x_NBTI]))


def test_a_graph_that_is_being_traced_is_left_to_other_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = MinGRUCell(3, 5)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert "traced" in (parallel.unsupported(Request(cell, X, cell.initial_state(2))) or "")


class RandomStart(LearnedStart):
    """A cell whose initial state is noise."""

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.randn(batch_size, self.hidden_size, dtype=self.a_H.dtype)


@pytest.mark.parametrize("checkpoint_every", [None, 3])
@pytest.mark.parametrize("given", [True, False])
def test_rows_that_begin_anew_start_from_the_same_noise_with_every_engine(
    given: bool, checkpoint_every: int | None
) -> None:
    cell = RandomStart(3, 5).double()
    x = torch.randn(2, 20, 3, dtype=torch.float64, requires_grad=True)
    reset = torch.rand(2, 20) < 0.3
    found = {}
    for engine in ("reference", "parallel", "compiled"):
        torch.manual_seed(3)
        state = cell.initial_state(2) if given else None
        y, _ = scan(cell, x, state, reset=reset, engine=engine, checkpoint_every=checkpoint_every)
        found[engine] = (y, *torch.autograd.grad(y.square().sum(), x))
    for engine in ("parallel", "compiled"):
        torch.testing.assert_close(found[engine], found["reference"])
