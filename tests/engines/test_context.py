"""A context, an input of several tensors and the states of all steps: what `scan` gives against steps taken by hand."""

from typing import Any, NamedTuple

import pytest
import torch
from context_cells import CELLS, DotAttention, Memory, Timed, memory, plain, timed
from torch import Tensor
from torch.testing import assert_close
from torch.utils._pytree import tree_leaves

from rnnkit.cells import (
    Cell,
    ElmanCell,
    GRUCell,
    LearnedInitialState,
    LRUCell,
    LSTMCell,
    MinGRUCell,
    Stack,
    Wrapper,
    Zoneout,
    map_state,
)
from rnnkit.engines import ENGINES, explain, policy, scan
from rnnkit.engines.request import Request
from rnnkit.engines.window import Window
from rnnkit.errors import UserError
from rnnkit.layers import RNN

B, T, H = 3, 6, 4
LENGTHS = torch.tensor([6, 3, 0])
RESET = torch.zeros(B, T, dtype=torch.bool)
RESET[[0, 0, 1], [0, 3, 2]] = True


def by_hand(
    cell: Any, x: Any, state: Any, context: Any, *, lengths: Any = None, reset: Any = None, reverse: bool = False
) -> tuple[Tensor, Any, Any]:
    """Row by row and step by step; at padding the state stands still."""
    rows = []
    for b in range(B):
        own = (
            None
            if context is None
            else map_state(lambda leaf, b=b: leaf[b : b + 1] if len(leaf) == B else leaf, context)
        )
        if isinstance(context, Tensor):
            own = context  # of no row
        h, outputs, states = map_state(lambda leaf, b=b: leaf[b : b + 1], state), [], []
        for t in reversed(range(T)) if reverse else range(T):
            if lengths is None or t < lengths[b]:
                first = t + 1 if reverse else t
                end = T if lengths is None else lengths[b]
                if reset is not None and first < end and reset[b, first]:
                    h = cell.initial_state(1)
                given = () if context is None else (own,)
                y, h = cell(map_state(lambda leaf, b=b, t=t: leaf[b : b + 1, t], x), h, *given)
            else:
                y = torch.zeros(1, cell.output_size, dtype=torch.float64)
            outputs.append(y)
            states.append(h)
        if reverse:
            outputs, states = outputs[::-1], states[::-1]
        over_time = map_state(lambda *leaves: torch.stack(leaves, 1), *states)
        rows.append((torch.stack(outputs, 1), h, over_time))
    return tuple(map_state(lambda *leaves: torch.cat(leaves), *parts) for parts in zip(*rows, strict=True))


def made(name: str) -> tuple[Any, Any, Any, Any]:
    torch.manual_seed(0)
    kind, inputs, context = CELLS[name]
    cell = kind(3, H).double()
    state = map_state(lambda leaf: torch.randn_like(leaf), cell.initial_state(B))
    return cell, inputs(B, T), state, None if context is None else context(B)


def all_of(found: Any, sources: list[Tensor]) -> list[Tensor]:
    """Values, and the gradients of a sum that weighs each of them differently."""
    values = tree_leaves(found)
    random = torch.Generator().manual_seed(1)
    total = torch.stack([(v * torch.randn(v.shape, generator=random)).sum() for v in values]).sum()
    return [*values, *torch.autograd.grad(total, sources, retain_graph=True, allow_unused=True, materialize_grads=True)]


def leaves_of(cell: Any, *trees: Any) -> list[Tensor]:
    given = [leaf for leaf in tree_leaves(trees) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    return [*(leaf.requires_grad_() for leaf in given), *cell.parameters()]


FORMS = [
    {},
    {"lengths": LENGTHS},
    {"reset": RESET},
    {"reverse": True},
    {"lengths": LENGTHS, "reset": RESET, "reverse": True},
    {"lengths": LENGTHS, "reset": RESET},
]


@pytest.mark.parametrize("every", [None, 4])
@pytest.mark.parametrize("form", FORMS, ids=lambda form: " ".join(form) or "plain")
@pytest.mark.parametrize("name", CELLS)
def test_every_step_sees_its_context_and_its_inputs(name: str, form: dict[str, Any], every: int | None) -> None:
    cell, x, state, context = made(name)
    if "lengths" in form:
        padded = torch.arange(T) >= LENGTHS[:, None]
        x = map_state(lambda leaf: leaf.masked_fill(padded.view(B, T, *[1] * (leaf.dim() - 2)), torch.nan), x)
    sources = leaves_of(cell, x, state, context)
    found = scan(
        cell, x, state, context=context, return_states=True, engine="reference", checkpoint_every=every, **form
    )
    expected = by_hand(cell, x, state, context, **form)
    assert type(found[2]) is type(state)
    assert_close(all_of(found, sources), all_of(expected, sources))
    for engine in ENGINES:
        request = Request(
            cell, x, state, Window(form.get("lengths"), form.get("reset"), form.get("reverse", False)), context
        )
        if policy.refusal(engine, request) is None:
            y, end = scan(cell, x, state, context=context, engine=engine, checkpoint_every=every, **form)
            assert_close(all_of((y, end), sources), all_of(expected[:2], sources))


@pytest.mark.parametrize("name", CELLS)
def test_two_windows_are_the_whole(name: str) -> None:
    cell, x, state, context = made(name)
    y, end = scan(cell, x, state, context=context)
    first, carry = scan(cell, map_state(lambda leaf: leaf[:, :2], x), state, context=context)
    second, last = scan(cell, map_state(lambda leaf: leaf[:, 2:], x), carry, context=context)
    assert_close(torch.cat([first, second], 1), y)
    assert_close(last, end)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: " ".join(form) or "plain")
@pytest.mark.parametrize("kind", [ElmanCell, GRUCell, LSTMCell, MinGRUCell, LRUCell])
def test_states_of_all_steps_with_every_engine(kind: Any, form: dict[str, Any]) -> None:
    torch.manual_seed(0)
    cell: Cell[Any] = kind(3, H).double()
    x, state = plain(B, T), map_state(torch.randn_like, kind(3, H).double().initial_state(B))
    sources = leaves_of(cell, x, state)
    expected = [
        torch.view_as_real(v) if v.is_complex() else v for v in tree_leaves(by_hand(cell, x, state, None, **form))
    ]
    expected = all_of(expected, sources)
    engines = []
    for engine in ("auto", *ENGINES):
        if engine != "auto" and policy.refusal(engine, Request(cell, x, state, states=True)) is not None:
            continue
        engines.append(engine)
        found = scan(cell, x, state, return_states=True, engine=engine, **form)
        # They are the caller's own: writing into the outputs changes no state.
        values = [torch.view_as_real(v) if v.is_complex() else v for v in tree_leaves(found)]
        assert_close(all_of(values, sources), expected)
        pointers = [leaf.untyped_storage().data_ptr() for leaf in tree_leaves(found)[:1] + tree_leaves(found[2])]
        assert len(set(pointers)) == len(pointers)
    assert "reference" in engines
    assert {ElmanCell: "native", GRUCell: "native", LSTMCell: "auto"}.get(kind, "parallel") in engines


def test_a_window_without_steps() -> None:
    cell, x, state, context = made("fast weights")
    y, end, states = scan(cell, map_state(lambda leaf: leaf[:, :0], x), state, context=context, return_states=True)
    assert y.shape == (B, 0, H)
    assert y.dtype == torch.float64
    assert_close(end, state)
    assert states.shape == (B, 0, *state.shape[1:])


class Halved(Wrapper[Any]):
    """A user's wrapper from before there was a context."""

    def forward(self, x_BI: Tensor, state: Any) -> tuple[Tensor, Any]:
        return self.cell(x_BI / 2, state)


class Picky(Cell[Tensor]):
    """Fails where it is handed more than it declares."""

    input_size = output_size = 3

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, 3)

    def forward(self, *given: Any) -> tuple[Tensor, Tensor]:
        assert len(given) == 2
        return given[0] + given[1], given[0]


def test_a_cell_without_a_context_never_sees_one() -> None:
    x = torch.randn(B, T, 3)
    scan(Picky(), x)
    for cell in (
        Picky(),
        LSTMCell(3, H),
        Zoneout(LSTMCell(3, H), 0.1),
        Halved(DotAttention(3, H)),
        Stack([GRUCell(3, H)]),
    ):
        with pytest.raises(UserError, match=r"^context: expected None for a cell .*forward"):
            scan(cell, x, context=torch.zeros(B, 2))


def test_a_context_goes_through_wrappers_stacks_and_layers() -> None:
    x, context = plain(B, T), memory(B)
    inner = DotAttention(3, H).double()
    expected, _ = scan(inner, x, context=context)
    for cell in (Zoneout(inner, 0.0), LearnedInitialState(inner), Stack([inner])):
        assert cell.takes_context
        assert_close(scan(cell.double(), x, context=context)[0], expected)
    mixed = Stack([GRUCell(3, 3), DotAttention(3, H)]).double()
    lower, _ = scan(mixed.cells[0], x)  # type: ignore[arg-type]
    assert_close(scan(mixed, x, context=context)[0], scan(mixed.cells[1], lower, context=context)[0])  # type: ignore[arg-type]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_context_reaches_the_layers_that_take_one(bidirectional: bool) -> None:
    rnn = RNN(DotAttention, 3, H, num_layers=2, bidirectional=bidirectional).double()
    x, context = plain(B, T), memory(B)
    context.values.requires_grad_()
    y, _ = rnn(x, context=context, lengths=LENGTHS)
    (gradient,) = torch.autograd.grad(y.sum(), context.values)
    assert bool(gradient[:2].any())
    assert not bool(gradient[2].any())  # a row that sleeps
    with pytest.raises(UserError, match="context"):
        RNN(GRUCell, 3, H, bidirectional=bidirectional).double()(x, context=context)


class Ragged(NamedTuple):
    a: Any
    b: Any


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (Ragged(torch.zeros(B, T, 3), torch.zeros(B, T + 1)), r"x.b: expected \[3, 6, ...\].*x.a; got shape \[3, 7\]"),
        (Ragged(torch.zeros(B, T, 3), [1, 2]), r"x.b: expected a tensor, or a NamedTuple of tensors; got list"),
        (Ragged(torch.zeros(B), torch.zeros(B)), r"x.a: expected a tensor \[batch, time, ...\]; got shape \[3\]"),
        ((torch.zeros(B, T), torch.zeros(B, T)), r"x: expected a tensor .*got tuple"),
        ({"a": torch.zeros(B, T)}, r"x: expected a tensor .*got dict"),
    ],
)
def test_inputs_of_several_tensors_that_do_not_fit(x: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        scan(CELLS["decaying"][0](3, H), x)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (None, r"context: expected the context of DotAttention.forward; got None"),
        ([torch.zeros(3)], r"context: expected a tensor, None, or a tuple of them; got list"),
        (Memory(torch.zeros(B, 2, 3), "x"), r"context.lengths: expected a tensor"),  # type: ignore[arg-type]
    ],
)
def test_contexts_that_do_not_fit(context: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        scan(DotAttention(3, H), torch.zeros(B, T, 3), context=context)


def test_engines_say_why_not() -> None:
    cell, x, state, context = made("dot attention")
    found = explain(cell, x, state, context=context, lengths=LENGTHS)
    assert set(found.ruled_out) | {found.engine} == set(ENGINES)
    ruled_out = explain(LSTMCell(3, H), torch.zeros(B, 40, 3), return_states=True).ruled_out
    assert "states of single steps" in ruled_out["native"]
    assert "Timed" in explain(MinGRUCell(3, H), Timed(*timed(B, T))).ruled_out["parallel"]
