"""What scan means, on every engine, against rows stepped one by one."""

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnnkit.cells import Cell, ElmanCell, GRUCell, LSTMCell, MinGRUCell, map_state, state_leaves
from rnnkit.engines import ENGINES, explain, scan
from rnnkit.engines.policy import refusal
from rnnkit.engines.request import Request

CELLS: dict[str, Any] = {
    "lstm": LSTMCell,
    "gru": GRUCell,
    "gru-before": partial(GRUCell, reset_after=False),
    "tanh": ElmanCell,
    "relu": partial(ElmanCell, nonlinearity="relu"),
    "min-gru": MinGRUCell,
}


def build(name: str, dtype: torch.dtype = torch.float64) -> Cell[Any]:
    return CELLS[name](3, 4).to(dtype)


def runs(cell: Cell[Any]) -> list[str]:
    x_BTI = torch.zeros(1, 1, 3, dtype=torch.float64)
    return [name for name in ENGINES if refusal(name, Request(cell, x_BTI, cell.initial_state(1))) is None]


RUNS = [
    pytest.param(cell, engine, marks=pytest.mark.slow if engine == "compiled" and cell not in ("lstm", "gru") else [])
    for cell in CELLS
    for engine in runs(build(cell))
]
each_run = pytest.mark.parametrize(("cell", "engine"), RUNS, ids=lambda part: str(part))


def random_state(cell: Cell[Any], B: int) -> Any:
    return map_state(lambda leaf: torch.randn_like(leaf).requires_grad_(), cell.initial_state(B))


def row_by_row(
    cell: Cell[Any], x_BTI: Tensor, state: Any, *, lengths: Tensor, reset: Tensor | None, reverse: bool
) -> tuple[Tensor, Any]:
    """The meaning of scan, in words a reader can check: one row, one step at a time, nothing masked."""
    outputs, ends = [], []
    for b, (x_TI, length) in enumerate(zip(x_BTI, lengths.tolist(), strict=True)):
        own = map_state(lambda leaf, b=b: leaf[b : b + 1], state)
        if reset is not None and reset.dim() == 1 and reset[b]:
            own = cell.initial_state(1)
        begins = [reset is not None and reset.dim() == 2 and bool(reset[b, t]) for t in range(length)]
        row = [x_TI.new_zeros(1, cell.output_size)] * len(x_TI)
        if reverse:
            for t in range(length - 1, -1, -1):
                row[t], own = cell(x_TI[t : t + 1], own)
                if begins[t] and t > 0:
                    own = cell.initial_state(1)
        else:
            for t in range(length):
                if begins[t]:
                    own = cell.initial_state(1)
                row[t], own = cell(x_TI[t : t + 1], own)
        outputs.append(torch.stack(row, dim=1))
        ends.append(own)
    return torch.cat(outputs), map_state(lambda *leaves: torch.cat(leaves), *ends)


def values_and_gradients(cell: Cell[Any], x_BTI: Tensor, given: Any, y_BTO: Tensor, end: Any) -> list[Tensor]:
    values = [y_BTO, *state_leaves(end)]
    weigh = torch.Generator().manual_seed(0)
    total = sum((value * torch.randn(value.shape, generator=weigh, dtype=value.dtype)).sum() for value in values)
    sources = [x_BTI, *state_leaves(given), *cell.parameters()]
    if not total.requires_grad:
        return values + [torch.zeros_like(source) for source in sources]
    return values + list(torch.autograd.grad(total, sources, allow_unused=True, materialize_grads=True))  # type: ignore


@each_run
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_every_engine_does_what_rows_stepped_by_hand_do(cell: str, engine: str, data: st.DataObject) -> None:
    draw = data.draw
    B, T = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    reverse, padded, resets = draw(st.booleans()), draw(st.booleans()), draw(st.sampled_from(["none", "B", "BT"]))
    lengths = torch.tensor(draw(st.lists(st.integers(0, T), min_size=B, max_size=B))) if padded else torch.full((B,), T)
    torch.manual_seed(draw(st.integers(0, 3)))
    reset = {"none": None, "B": torch.rand(B) < 0.5, "BT": torch.rand(B, T) < 0.3}[resets]

    built = build(cell)
    given_state = random_state(built, B)
    x_BTI = torch.randn(B, T, 3, dtype=torch.float64)
    x_BTI[torch.arange(T) >= lengths[:, None]] = draw(st.sampled_from([torch.nan, torch.inf, 1e300]))
    x_BTI.requires_grad_()

    wanted = row_by_row(built, x_BTI, given_state, lengths=lengths, reset=reset, reverse=reverse)
    found = scan(
        built, x_BTI, given_state, lengths=lengths if padded else None, reset=reset, reverse=reverse, engine=engine
    )
    assert type(found[1]) is type(wanted[1])
    torch.testing.assert_close(
        values_and_gradients(built, x_BTI, given_state, *found),
        values_and_gradients(built, x_BTI, given_state, *wanted),
        rtol=1e-9,
        atol=1e-9,
    )


@each_run
def test_no_steps_leave_the_state_as_it_is(cell: str, engine: str) -> None:
    built = build(cell)
    state = random_state(built, 2)
    y_BTO, after = scan(built, torch.zeros(2, 0, 3, dtype=torch.float64), state, engine=engine)
    assert y_BTO.shape == (2, 0, 4)
    assert all(map(torch.equal, state_leaves(after), state_leaves(state)))
    reset = torch.tensor([True, False])
    _, after = scan(built, torch.zeros(2, 0, 3, dtype=torch.float64), state, reset=reset, engine=engine)
    for new, old in zip(state_leaves(after), state_leaves(state), strict=True):
        assert not new[0].any()
        assert torch.equal(new[1], old[1])


@each_run
def test_no_rows(cell: str, engine: str) -> None:
    x_BTI = torch.zeros(0, 5, 3, dtype=torch.float64)
    lengths, reset = torch.zeros(0, dtype=torch.long), torch.zeros(0, 5, dtype=torch.bool)
    for options in ({}, {"lengths": lengths}, {"reset": reset}, {"lengths": lengths, "reverse": True}):
        y_BTO, after = scan(build(cell), x_BTI, engine=engine, **options)  # type: ignore[arg-type]
        assert y_BTO.shape == (0, 5, 4)
        assert all(leaf.shape == (0, 4) for leaf in state_leaves(after))


@each_run
def test_a_row_of_length_zero_returns_the_very_state(cell: str, engine: str) -> None:
    built = build(cell, torch.float32)
    state = random_state(built, 2)
    _, after = scan(built, torch.randn(2, 5, 3), state, lengths=torch.tensor([5, 0]), engine=engine)
    assert all(torch.equal(new[1], old[1]) for new, old in zip(state_leaves(after), state_leaves(state), strict=True))


@each_run
@pytest.mark.parametrize("lengths", [None, torch.tensor([4, 2])])
def test_what_a_reset_row_carried_does_not_matter_even_if_nan(cell: str, engine: str, lengths: Tensor | None) -> None:
    built = build(cell)
    bad = map_state(lambda leaf: torch.full_like(leaf, torch.nan).requires_grad_(), built.initial_state(2))
    x_BTI = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    options: dict[str, Any] = {"lengths": lengths, "engine": engine}
    reset = scan(built, x_BTI, bad, reset=torch.tensor([True, True]), **options)
    fresh = scan(built, x_BTI, None, **options)
    torch.testing.assert_close(reset, fresh)
    reset[0].sum().backward()
    assert x_BTI.grad is not None
    assert x_BTI.grad.isfinite().all()
    assert all(leaf.grad is not None and not leaf.grad.any() for leaf in state_leaves(bad))


@each_run
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_engines_agree_in_lower_precision_too(cell: str, engine: str, dtype: torch.dtype) -> None:
    built = build(cell, dtype)
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 5e-2}[dtype]
    x_BTI = torch.randn(3, 8, 3).to(dtype)
    state = map_state(Tensor.detach, random_state(built, 3))
    lengths = torch.tensor([8, 0, 5])
    found = scan(built, x_BTI, state, lengths=lengths, reverse=True, engine=engine)
    wanted = scan(built, x_BTI, state, lengths=lengths, reverse=True, engine="reference")
    assert {leaf.dtype for leaf in (found[0], *state_leaves(found[1]))} == {dtype}
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


@each_run
def test_autocast_keeps_the_dtype_of_the_carry(cell: str, engine: str) -> None:
    built = build(cell, torch.float32)
    x_BTI = torch.randn(2, 6, 3)
    whole, whole_end = scan(built, x_BTI, engine="reference")
    for dtype in (torch.float32, torch.bfloat16):
        state = map_state(lambda leaf, dtype=dtype: leaf.to(dtype), built.initial_state(2))
        for lengths in (None, torch.tensor([3, 3])):
            with torch.autocast("cpu", torch.bfloat16):
                if refusal(engine, Request(built, x_BTI, state)) is not None:
                    pytest.skip("torch's LSTM does not run in bfloat16 on this processor")
                first, middle = scan(built, x_BTI[:, :3], state, lengths=lengths, engine=engine)
                rest, end = scan(built, x_BTI[:, 3:], middle, lengths=lengths, engine=engine)
            assert {leaf.dtype for leaf in state_leaves(middle) + state_leaves(end)} == {dtype}
            chunked = torch.cat([first, rest], dim=1).float()
            torch.testing.assert_close(chunked, whole, rtol=0.05, atol=0.05)
            for found, wanted in zip(state_leaves(end), state_leaves(whole_end), strict=True):
                torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=0.05)
            (first.sum() + rest.sum()).float().backward()


def test_lengths_and_resets_may_be_any_integers_and_need_no_memory_order() -> None:
    cell = LSTMCell(3, 4)
    x_TBI = torch.randn(5, 2, 3)
    state = map_state(lambda leaf: torch.randn(4, 2).t(), cell.initial_state(2))
    found = scan(cell, x_TBI.transpose(0, 1), state, lengths=torch.tensor([5, 3], dtype=torch.int32))
    wanted = scan(cell, x_TBI.transpose(0, 1).contiguous(), state, lengths=torch.tensor([5, 3]), engine="reference")
    torch.testing.assert_close(found, wanted)


def test_auto_takes_the_fast_engine_where_it_is_exact() -> None:
    assert explain(LSTMCell(3, 4), torch.zeros(1, 9, 3)).engine == "native"
    assert explain(GRUCell(3, 4, reset_after=False), torch.zeros(1, 9, 3)).engine == "reference"
