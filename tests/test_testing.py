"""check_cell passes a good cell and catches each broken one, in words that name the promise."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from context_cells import CELLS, Decaying, DotAttention, Memory, Timed, memory, plain, timed
from torch import Tensor, nn

from rnnkit import testing
from rnnkit.cells import Cell, GRUCell, LearnedInitialState, Stack, Zoneout, map_state, wrapped
from rnnkit.engines import ENGINES, policy, reference
from rnnkit.engines.request import Request, Result
from rnnkit.testing import check_cell


class MGUCell(Cell[Tensor]):
    """The minimal gated unit (Zhou et al., 2016), as a researcher would write it outside."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size = input_size
        self.output_size = hidden_size
        self.input_map = nn.Linear(input_size, 2 * hidden_size)
        self.forget_map = nn.Linear(hidden_size, hidden_size, bias=False)
        self.candidate_map = nn.Linear(hidden_size, hidden_size, bias=False)

    def initial_state(self, batch_size: int) -> Tensor:
        return self.forget_map.weight.new_zeros(batch_size, self.output_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        xf_BH, xg_BH = self.input_map(x_BI).chunk(2, dim=-1)
        f_BH = torch.sigmoid(xf_BH + self.forget_map(state))
        g_BH = torch.tanh(xg_BH + self.candidate_map(f_BH * state))
        h_BH = (1 - f_BH) * state + f_BH * g_BH
        return h_BH, h_BH


class CountedState(NamedTuple):
    hidden: Tensor
    steps: Tensor


class LearnedStart(Cell[CountedState]):
    """A learned initial state, a counter that is no float, an output of another size, noise in training."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, 2 * hidden_size
        self.start_H = nn.Parameter(torch.randn(hidden_size))
        self.map = nn.Linear(input_size + hidden_size, hidden_size)
        self.dropout = nn.Dropout(0.5)

    def initial_state(self, batch_size: int) -> CountedState:
        return CountedState(self.start_H.expand(batch_size, -1), torch.zeros(batch_size, 1, dtype=torch.long))

    def forward(self, x_BI: Tensor, state: CountedState) -> tuple[Tensor, CountedState]:
        h_BH = torch.tanh(self.map(torch.cat([x_BI, self.dropout(state.hidden)], dim=-1)) / (1 + state.steps))
        return torch.cat([h_BH, -h_BH], dim=-1), CountedState(h_BH, state.steps + 1)


class Detached(MGUCell):
    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x_BI, state.detach())


class RowsMixed(MGUCell):
    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x_BI - x_BI.mean(dim=0), state)


class BatchNormed(MGUCell):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.norm = nn.BatchNorm1d(input_size)

    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(self.norm(x_BI), state)


class StateIgnored(MGUCell):
    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x_BI, torch.zeros_like(state))


class StateKeptInside(MGUCell):
    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        inside = getattr(self, "inside", state)
        output, self.inside = super().forward(x_BI, inside.detach() + state)
        return output, self.inside


class TypeLost(LearnedStart):
    def forward(self, x_BI: Tensor, state: CountedState) -> tuple[Tensor, CountedState]:
        output, after = super().forward(x_BI, state)
        return output, tuple(after)  # type: ignore[return-value]


class DtypeLost(MGUCell):
    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        output, after = super().forward(x_BI, state.to(x_BI.dtype))
        return output, after.float()


class WrongOutputSize(MGUCell):
    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        output, after = super().forward(x_BI, state)
        return output[:, :-1], after


class UnseededWeights(MGUCell):
    built = 0

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        UnseededWeights.built += 1
        nn.init.constant_(self.input_map.bias, 0.1 * UnseededWeights.built)


class WrongBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class HandWrittenGradient(MGUCell):
    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(WrongBackward.apply(x_BI), state)


class GrowingState(MGUCell):
    def forward(self, x_BI: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        output, after = super().forward(x_BI, state[:, : self.output_size])
        return output, torch.cat([after, after], dim=-1)


@pytest.mark.parametrize("cell", [MGUCell, LearnedStart])
def test_a_good_cell_passes(cell: Any) -> None:
    check_cell(cell)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (
            Detached,
            r"Detached: backprop.* and finite differences disagree in the gradient of given state\[.*: 0 against",
        ),
        (RowsMixed, r"the other rows with row 0 changed .* disagree in the output\[\d+, \d+\]: .* off by"),
        (BatchNormed, r"the other rows with row 0 changed .* disagree"),
        (StateIgnored, r"the given state changes nothing"),
        (StateKeptInside, r"a first run and a second run with the same seed disagree in the output\["),
        (TypeLost, r"the state enters as .*CountedState.* and leaves as .*tuple"),
        (DtypeLost, r"state enters as torch.float64 and leaves as torch.float32"),
        (WrongOutputSize, r"one step's output is \[3, 4\], not \[3, 5\]"),
        (UnseededWeights, r"a first run and a cell built again with the same seed disagree"),
        (HandWrittenGradient, r"backpropagation and finite differences disagree in the gradient of x\["),
        (GrowingState, r"state enters as \[3, 5\] and leaves as \[3, 10\]"),
        (nn.Linear, r"Linear: the factory must return a rnnkit.cells.Cell"),
    ],
)
def test_a_broken_cell_is_caught(cell: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_cell(cell)


def loop(cell: Any, x_BTI: Tensor, state: Any, window: Any) -> tuple[Tensor, Any]:
    y_BTO, end, _ = reference.run(Request(cell, x_BTI, state, window))
    return y_BTO, end


def leaking_padding(cell: Any, x_BTI: Tensor, state: Any, window: Any) -> Any:
    return loop(cell, x_BTI, state, window._replace(lengths=None))


def reset_one_step_late(cell: Any, x_BTI: Tensor, state: Any, window: Any) -> Any:
    late = None if window.fresh is None else window.fresh.roll(1, dims=1)
    return loop(cell, x_BTI, state, window._replace(fresh=late))


def direction_forgotten(cell: Any, x_BTI: Tensor, state: Any, window: Any) -> Any:
    return loop(cell, x_BTI, state, window._replace(reverse=False))


def gradient_of_the_state_cut(cell: Any, x_BTI: Tensor, state: Any, window: Any) -> Any:
    return loop(cell, x_BTI, state.detach(), window)


class BrokenEngine:
    def __init__(self, run: Callable[..., Any]) -> None:
        self.broken = run

    def unsupported(self, request: Request) -> str | None:
        return None

    def run(self, request: Request) -> Result:
        return Result(*self.broken(request.cell, request.x, request.state, request.window))


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (
            leaking_padding,
            r"\(padded, engine broken, torch.float64\) and each row stepped by hand disagree.*nan against",
        ),
        (reset_one_step_late, r"\(reset, engine broken, .* disagree in"),
        (direction_forgotten, r"\(reversed, engine broken, .* disagree in the output\["),
        (
            gradient_of_the_state_cut,
            r"\(plain, engine broken, .* disagree in the gradient of given state\[.*\]: 0 against",
        ),
    ],
)
def test_a_broken_engine_is_caught(run: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "broken", BrokenEngine(run))
    with pytest.raises(AssertionError, match=message):
        check_cell(GRUCell)


class OnceDifferentiable(torch.autograd.Function):
    """The outputs as they are, whose gradient says nothing of how it depends on them."""

    @staticmethod
    def forward(ctx: Any, y_BTO: Tensor) -> Tensor:
        return y_BTO.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].detach()


def second_derivative_lost(cell: Any, x_BTI: Tensor, state: Any, window: Any) -> Any:
    y_BTO, end = loop(cell, x_BTI, state, window)
    return OnceDifferentiable.apply(y_BTO), end


def output_needed_backwards(cell: Any, x_BTI: Tensor, state: Any, window: Any) -> Any:
    """As an engine that saves the outputs that it hands out, without a word to autograd."""
    y_BTO, end = loop(cell, x_BTI, state, window)
    return Doubled.apply(y_BTO), end


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y_BTO: Tensor) -> Tensor:
        ctx.before, ctx.after = y_BTO, y_BTO.clone()
        return ctx.after

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] + (ctx.after - ctx.before).detach()


class Views(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y_BTO: Tensor) -> tuple[Tensor, Tensor]:
        return y_BTO.view_as(y_BTO), y_BTO[:, :1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def view_given_out(cell: Any, x_BTI: Tensor, state: Any, window: Any) -> Any:
    y_BTO, end = loop(cell, x_BTI, state, window)
    return Views.apply(y_BTO)[0], end


def everything_cast(cell: Any, x_BTI: Tensor, state: Any, window: Any) -> Any:
    dtype = next(cell.parameters()).dtype
    return loop(cell, x_BTI.to(dtype), state.to(dtype), window)


def short_windows_checked_alone(cell: Any, x_BTI: Tensor, state: Any, window: Any) -> Any:
    """As an engine that takes memory of one type for another where it does the work itself."""
    if x_BTI.shape[1] < 16:
        return loop(cell, x_BTI, state, window)
    return everything_cast(cell, x_BTI, state, window)


def float16_unknown(cell: Any, x_BTI: Tensor, state: Any, window: Any) -> Any:
    return dict.fromkeys((torch.float64, torch.float32, torch.bfloat16), loop)[x_BTI.dtype](cell, x_BTI, state, window)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (
            second_derivative_lost,
            r"the gradient of a gradient over 8 steps \(engine auto\) and the Python loop disagree",
        ),
        (
            output_needed_backwards,
            r"outputs written into, of 8 steps \(engine .*\) and the Python loop disagree in the grad",
        ),
        (view_given_out, r"outputs written into, of 8 steps \(engine .*\) raises RuntimeError.*inplace"),
        (everything_cast, r"x of torch.float64 over 1 steps \(engine .*\) should raise RuntimeError.* got no error"),
        (short_windows_checked_alone, r"x of torch.float64 over 16 steps \(engine .*\) should raise RuntimeError"),
        (float16_unknown, "float16"),
    ],
)
def test_an_engine_that_breaks_under_the_code_around_a_cell_is_caught(
    run: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the only one beside the loop, so that it is what `auto` takes."""
    monkeypatch.setattr(policy, "ENGINES", {"broken": BrokenEngine(run), "reference": reference})
    monkeypatch.setattr(testing.calls, "FAST", ("auto", "broken"))
    with pytest.raises((AssertionError, KeyError), match=message):
        check_cell(MGUCell)


def test_a_line_for_each_promise() -> None:
    """All are told when a check begins, so that the last one is what fails."""
    lines: list[str] = []
    with pytest.raises(AssertionError):
        check_cell(StateIgnored, progress=lines.append)
    assert lines == [
        "StateIgnored: sizes, shapes and types",
        "StateIgnored: equal seeds give equal numbers",
        "StateIgnored: the state matters, and rows do not mix",
    ]


def test_the_callers_random_numbers_are_left_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    check_cell(GRUCell)
    assert torch.equal(torch.rand(1), wanted)


QUICK = "dot attention"
"""The cell whose promises are in the quick suite."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n != QUICK else ()) for n in CELLS])
def test_cells_with_a_context_and_inputs_of_several_tensors_keep_every_promise(name: str) -> None:
    factory, inputs, context = CELLS[name]
    check_cell(factory, input_size=3, inputs=inputs, context=context)


@pytest.mark.slow
def test_what_wraps_a_cell_with_a_context_keeps_every_promise() -> None:
    factory, inputs, context = CELLS["dot attention"]
    for wrapper in (partial(Zoneout, p=0.2), LearnedInitialState, lambda cell: Stack([GRUCell(3, 3), cell])):
        check_cell(partial(wrapped, cell=factory, wrappers=[wrapper]), input_size=3, inputs=inputs, context=context)


class MeanOfTheBatch(DotAttention):
    """Reads the memory of other rows."""

    def forward(self, x_BI: Tensor, state: Any, context: Memory) -> tuple[Tensor, Any]:
        return super().forward(x_BI, state, context._replace(values=context.values + context.values.mean(0)))


class Detached(DotAttention):
    def forward(self, x_BI: Tensor, state: Any, context: Memory) -> tuple[Tensor, Any]:
        return super().forward(x_BI, state, context._replace(values=context.values.detach()))


class Unread(DotAttention):
    def forward(self, x_BI: Tensor, state: Any, context: Memory) -> tuple[Tensor, Any]:
        return super().forward(x_BI, state, context._replace(values=torch.ones_like(context.values)))


class GapForgotten(Decaying):
    """Spreads the last gap of a window over all of it, if only in the gradient."""

    def forward(self, x: Timed, state: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x._replace(gap=x.gap.detach()), state)


@pytest.mark.parametrize(
    ("factory", "inputs", "context", "message"),
    [
        (MeanOfTheBatch, plain, memory, "the other rows with row 0 changed"),
        (Detached, plain, memory, r"the gradient of context.values\[.*\]: 0 against"),
        (Unread, plain, memory, "the context changes nothing"),
        (GapForgotten, timed, None, r"the gradient of x.gap\[.*\]: 0 against"),
    ],
)
def test_broken_promises_about_contexts_and_inputs_are_caught(
    factory: Any, inputs: Any, context: Any, message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        check_cell(factory, input_size=3, inputs=inputs, context=context)


def context_of_another_row(request: Request) -> Result:
    context = request.context._replace(values=request.context.values.roll(1, 0))
    return reference.run(request._replace(context=context))


def context_without_gradient(request: Request) -> Result:
    return reference.run(request._replace(context=map_state(Tensor.detach, request.context)))


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (context_of_another_row, "engine broken, torch.float64.* disagree"),
        (context_without_gradient, r"engine broken, .*gradient of context.values\["),
    ],
)
def test_an_engine_that_gets_a_context_wrong_is_caught(run: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = BrokenEngine(reference.run)
    monkeypatch.setattr(broken, "run", run)
    monkeypatch.setitem(ENGINES, "broken", broken)
    with pytest.raises(AssertionError, match=message):
        check_cell(DotAttention, input_size=3, inputs=plain, context=memory)
