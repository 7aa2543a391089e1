"""What wrappers do to any cell: their noise in training, what stands for it in evaluation, and that they nest."""

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rnnkit
from rnnkit.cells import (
    Cell,
    ElmanCell,
    GRUCell,
    LearnedInitialState,
    LRUCell,
    LSTMCell,
    LSTMState,
    Residual,
    Stack,
    VariationalDropout,
    WeightDrop,
    Wrapper,
    Zoneout,
    map_state,
    state_leaves,
    wrapped,
)
from rnnkit.engines import scan
from rnnkit.errors import UserError
from rnnkit.layers import RNN
from rnnkit.testing import check_cell


class CountingState(NamedTuple):
    memory: Tensor
    steps: Tensor


class Adding(Cell[CountingState]):
    """Adds up its input, and counts."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.input_size = self.output_size = size
        self.gain = nn.Parameter(torch.ones(()))

    def initial_state(self, batch_size: int) -> CountingState:
        return CountingState(torch.zeros(batch_size, self.output_size), torch.zeros(batch_size, 1, dtype=torch.long))

    def forward(self, x_BI: Tensor, state: CountingState) -> tuple[Tensor, CountingState]:
        memory = state.memory + self.gain * x_BI
        return memory, CountingState(memory, state.steps + 1)


# Zoneout


def test_zoneout_keeps_each_element_with_its_probability_and_the_output_follows() -> None:
    cell = Zoneout(Adding(500), p=0.3)
    x_BTI = torch.ones(40, 5, 500)
    y_BTO, state = scan(cell, x_BTI)
    # 100,000 throws: four standard deviations are 0.006
    steps = torch.diff(y_BTO, dim=1, prepend=torch.zeros(40, 1, 500))
    assert set(steps.unique().tolist()) == {0.0, 1.0}
    assert (steps == 0).float().mean().item() == pytest.approx(0.3, abs=0.006)
    # independent from step to step, row to row and feature to feature
    kept = (steps == 0).double()
    pairs = [(kept[:, 1:], kept[:, :-1]), (kept[1:], kept[:-1]), (kept[..., 1:], kept[..., :-1])]
    for a, b in pairs:
        assert (a * b).mean().item() == pytest.approx(0.09, abs=0.006)
    assert torch.equal(state.memory, y_BTO[:, -1])
    assert state.steps.unique().tolist() == [5]


def test_zoneout_in_evaluation_is_the_expectation() -> None:
    cell = Zoneout(LSTMCell(3, 4), p=0.25).double()
    rng = np.random.default_rng(0)
    x, h, c = rng.normal(size=3), rng.normal(size=4), rng.normal(size=4)
    inner = nn.LSTMCell(3, 4).double()
    inner.load_state_dict(cell.cell.state_dict())
    new_h, new_c = (part[0] for part in inner(torch.tensor(x)[None], (torch.tensor(h)[None], torch.tensor(c)[None])))
    state = LSTMState(torch.tensor(h)[None], torch.tensor(c)[None])
    output, after = cell.eval()(torch.tensor(x)[None], state)
    np.testing.assert_allclose(after.hidden[0].detach(), 0.25 * h + 0.75 * new_h.detach().numpy())
    np.testing.assert_allclose(after.cell[0].detach(), 0.25 * c + 0.75 * new_c.detach().numpy())
    assert output is after.hidden
    cell.train()
    many = map_state(lambda leaf: leaf.expand(40000, -1), state)
    drawn = cell(torch.tensor(x).expand(40000, -1), many)[1].cell
    # a throw of an element deviates from its mean by half the distance of its two values at most
    bound = 4 * 0.5 * (state.cell - new_c).abs().max().item() / 40000**0.5
    torch.testing.assert_close(drawn.mean(0, keepdim=True), after.cell, rtol=0, atol=bound)


def test_zoneout_leaves_an_output_alone_that_is_no_state() -> None:
    cell = Zoneout(Residual(ElmanCell(4, 4)), p=0.5)
    x_BI, state = torch.randn(2, 4), torch.randn(2, 4)
    output, _ = cell(x_BI, state)
    torch.testing.assert_close(output, cell.cell.cell(x_BI, state)[0] + x_BI)


# VariationalDropout


def test_variational_masks_hold_still_over_a_window_and_differ_between_windows_and_rows() -> None:
    cell = VariationalDropout(Adding(64), input=0.5, output=0.25)
    x_BTI = torch.ones(3, 6, 64)
    masks = []
    with rnnkit.observe(lambda seen: masks.append(seen.context)):
        y_BTO, state = scan(cell, x_BTI)
        _, later = scan(cell, x_BTI, state)
    # what arrives at each step: nothing, or the input scaled up, always in the same places
    kept = masks[0].input_kept
    torch.testing.assert_close(state.memory, 6 * 2.0 * kept)
    expected = torch.arange(1, 7.0)[:, None] * 2.0 * (kept & masks[0].output_kept)[:, None] / 0.75
    torch.testing.assert_close(y_BTO, expected)
    assert not torch.equal(kept[0], kept[1])
    assert not torch.equal(masks[1].input_kept, kept)
    torch.testing.assert_close(later.memory, 6 * 2.0 * kept + 6 * 2.0 * masks[1].input_kept)
    shares = [VariationalDropout(Adding(64), **{name: 0.2}) for name in ("input", "state", "output")]
    found = [[mask.float().mean().item() for mask in share.begin(500)[:3]] for share in shares]
    np.testing.assert_allclose(found, 1 - 0.2 * np.eye(3), atol=0.01)


def test_variational_dropout_masks_the_hidden_state_and_not_the_long_memory() -> None:
    cell = VariationalDropout(LSTMCell(3, 50), state=0.5).double()
    masks = cell.begin(2)
    state = LSTMState(torch.randn(2, 50).double(), torch.randn(2, 50).double())
    x_BI = torch.randn(2, 3).double()
    theirs = nn.LSTMCell(3, 50).double()
    theirs.load_state_dict(cell.cell.state_dict())
    output, after = cell(x_BI, state, masks)
    wanted = theirs(x_BI, (state.hidden * masks.hidden_kept * 2, state.cell))
    torch.testing.assert_close((output, after.cell), wanted)


def test_masks_reach_a_cell_of_a_stack_and_pass_by_one_without_a_context() -> None:
    dropped = VariationalDropout(Adding(64), input=0.5)
    cell = Zoneout(Stack([Adding(64), dropped]), p=0.0)
    context = cell.begin(3)
    assert context.each[0] is None
    outputs = [cell(torch.ones(3, 64), cell.initial_state(3), context)[0] for _ in range(2)]
    torch.testing.assert_close(outputs[0], 2.0 * context.each[1].input_kept)
    assert torch.equal(*outputs)
    assert cell.eval().begin(3) is None


def test_a_wrapper_that_would_lose_the_masks_is_refused() -> None:
    class Blind(Wrapper[Any]):
        def forward(self, x: Any, state: Any) -> Any:
            return self.cell(x, state)

    cell = Blind(VariationalDropout(Adding(4), input=0.5))
    with pytest.raises(UserError, match="draws numbers for a window"):
        scan(cell, torch.ones(2, 3, 4))
    assert scan(cell.eval(), torch.ones(2, 3, 4))[0].shape == (2, 3, 4)


# WeightDrop


def reads(cell: WeightDrop[Any]) -> list[Tensor]:
    """The recurrent weight as each step of a scan reads it."""
    seen: list[Tensor] = []
    handle = cell.register_forward_hook(lambda *_: seen.append(cell.cell.weight_hh.detach()))
    scan(cell, torch.randn(2, 4, 3))
    handle.remove()
    return seen


def test_weight_drop_has_one_mask_for_all_steps_of_a_scan_and_another_for_the_next() -> None:
    cell = WeightDrop(LSTMCell(3, 40), p=0.4)
    whole = cell.cell.parametrizations.weight_hh.original
    first, second = reads(cell), reads(cell)
    assert len(first) == len(second) == 4
    assert all(torch.equal(weight, first[0]) for weight in first)
    assert not torch.equal(first[0], second[0])
    dropped = first[0] == 0
    assert dropped.float().mean().item() == pytest.approx(0.4, abs=0.025)
    torch.testing.assert_close(first[0][~dropped], whole.detach()[~dropped] / 0.6)


def test_a_dropped_weight_has_no_gradient_and_the_others_one() -> None:
    cell = WeightDrop(ElmanCell(3, 20), p=0.5)
    seen: list[Tensor] = []
    handle = cell.register_forward_hook(lambda *_: seen.append(cell.cell.weight_hh.detach()))
    y_BTO, _ = scan(cell, torch.randn(4, 6, 3))
    handle.remove()
    y_BTO.square().sum().backward()
    gradient = cell.cell.parametrizations.weight_hh.original.grad
    assert torch.equal(gradient == 0, seen[0] == 0)


def test_weight_drop_in_evaluation_is_the_plain_cell() -> None:
    plain = GRUCell(3, 5)
    cell = WeightDrop(copy.deepcopy(plain), p=0.9).eval()
    x_BTI = torch.randn(2, 6, 3)
    torch.testing.assert_close(scan(cell, x_BTI), scan(plain, x_BTI))


def test_weight_drop_survives_state_dict_and_deepcopy_and_says_that_it_cannot_be_pickled() -> None:
    cell, other = WeightDrop(LSTMCell(3, 5), p=0.5), WeightDrop(LSTMCell(3, 5), p=0.5)
    assert set(cell.state_dict()) == {
        "cell.weight_ih",
        "cell.bias_ih",
        "cell.bias_hh",
        "cell.parametrizations.weight_hh.original",
    }
    x_BTI = torch.randn(2, 6, 3)
    other.load_state_dict(cell.state_dict())
    twin = copy.deepcopy(cell)
    for copied in (other, twin):
        torch.testing.assert_close(scan(copied.eval(), x_BTI), scan(cell.eval(), x_BTI))
    with torch.no_grad():
        cell.cell.parametrizations.weight_hh.original.zero_()
    assert twin.cell.weight_hh.any()
    with pytest.raises(RuntimeError, match="only supported through state_dict"):
        pickle.dumps(cell)


def test_weight_drop_on_weights_by_name_and_inside_another_wrapper() -> None:
    cell = WeightDrop(LSTMCell(3, 30), p=0.5, weights=["weight_ih"])
    assert (cell.cell.weight_ih == 0).any()
    assert cell.cell.weight_hh.all()
    nested = WeightDrop(Zoneout(LSTMCell(3, 30), p=0.1), p=0.5)
    assert (nested.cell.cell.weight_hh == 0).any()


# LearnedInitialState, Residual


def test_a_learned_initial_state_starts_as_the_cells_and_is_learned() -> None:
    cell = LearnedInitialState(LSTMCell(3, 5))
    assert not any(leaf.any() for leaf in state_leaves(cell.initial_state(4)))
    with torch.no_grad():
        for row in cell.rows:
            row.normal_()
    start = cell.initial_state(4)
    assert all(torch.equal(leaf, row.expand(4, 5)) for leaf, row in zip(start, cell.rows, strict=True))
    x_BTI = torch.randn(4, 6, 3)
    given = map_state(lambda leaf: leaf.detach().clone().requires_grad_(), start)
    scan(cell.cell, x_BTI, given)[0].square().sum().backward()
    scan(cell, x_BTI)[0].square().sum().backward()
    for row, leaf in zip(cell.rows, given, strict=True):
        torch.testing.assert_close(row.grad, leaf.grad.sum(0, keepdim=True))


def test_counters_are_not_learned() -> None:
    cell = LearnedInitialState(VariationalDropout(Adding(3), input=0.5))
    assert [tuple(row.shape) for row in cell.rows] == [(1, 3)]
    assert cell.initial_state(50).steps.dtype == torch.long


def test_residual_adds_the_input() -> None:
    cell = Residual(GRUCell(4, 4))
    x_BTI = torch.randn(2, 5, 4)
    torch.testing.assert_close(scan(cell, x_BTI)[0], scan(cell.cell, x_BTI)[0] + x_BTI)


# All of them


STACKS: dict[str, Callable[[int, int], Cell[Any]]] = {
    "zoneout of a learned start": lambda i, h: Zoneout(LearnedInitialState(LSTMCell(i, h)), p=0.2),
    "a learned start of zoneout": lambda i, h: LearnedInitialState(Zoneout(GRUCell(i, h), p=0.2)),
    "a learned complex start": lambda i, h: LearnedInitialState(LRUCell(i, h)),
    "complex zoneout": lambda i, h: Zoneout(LRUCell(i, h), p=0.2),
    "all": lambda i, h: Residual(
        Zoneout(
            VariationalDropout(
                LearnedInitialState(WeightDrop(LSTMCell(i, h), p=0.3)), input=0.2, state=0.2, output=0.2
            ),
            p=0.1,
        )
    ),
    "all, inside out": lambda i, h: VariationalDropout(
        WeightDrop(LearnedInitialState(Zoneout(Residual(ElmanCell(i, h)), p=0.1)), p=0.3), state=0.2
    ),
}


@pytest.mark.parametrize("stack", [pytest.param(s, marks=pytest.mark.slow if s != "all" else ()) for s in STACKS])
def test_wrappers_nest_and_keep_every_promise(stack: str) -> None:
    check_cell(STACKS[stack], input_size=4, hidden_size=4)


@pytest.mark.parametrize("stack", STACKS)
def test_windows_with_the_carry_are_the_whole_in_evaluation_and_noisy_in_training(stack: str) -> None:
    rnn = RNN(STACKS[stack], 4, 4, num_layers=2, bidirectional=False)
    x_BTI = torch.randn(3, 8, 4)
    if "complex start" not in stack:
        assert not torch.equal(rnn(x_BTI)[0], rnn(x_BTI)[0])
    _, carry = rnn(x_BTI)
    rnn.eval()
    whole, end = rnn(x_BTI, carry)
    first, middle = rnn(x_BTI[:, :3], carry)
    rest, after = rnn(x_BTI[:, 3:], middle)
    torch.testing.assert_close(torch.cat([first, rest], dim=1), whole)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(state_leaves(after), state_leaves(end), strict=True))


def test_wrapped_passes_the_cell_from_wrapper_to_wrapper() -> None:
    factory = partial(wrapped, cell=LSTMCell, wrappers=[partial(WeightDrop, p=0.5), partial(Zoneout, p=0.1), Residual])
    cell = RNN(factory, 4, 4).cell_at(0)
    assert [type(part).__name__ for part in (cell, cell.cell, cell.cell.cell)] == ["Residual", "Zoneout", "WeightDrop"]
    assert type(wrapped(3, 4, cell=GRUCell, wrappers=[])) is GRUCell


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Zoneout(LSTMCell, p=0.1), r"cell: expected a rnnkit.cells.Cell instance to wrap; got LSTMCell"),
        (lambda: Zoneout(nn.Linear(3, 3), p=0.1), r"cell: expected a rnnkit.cells.Cell instance .*; got Linear"),
        (lambda: Zoneout(GRUCell(3, 3), p=1.0), r"p: expected a probability .* below 1; got 1\.0\. Try: p=0\.5"),
        (lambda: WeightDrop(GRUCell(3, 3), p=-0.1), r"p: expected a probability .*; got -0\.1"),
        (lambda: VariationalDropout(GRUCell(3, 3), state=2), r"state: expected a probability .*; got 2"),
        (
            lambda: WeightDrop(GRUCell(3, 3), p=0.1, weights=["weight"]),
            r"weights: expected some of weight_ih, weight_hh, .*; got weight\. Try: weights=\[weight_hh\]",
        ),
        (lambda: WeightDrop(Adding(3), p=0.1), r"weights: expected some of gain; got none named weight_hh"),
        (lambda: Residual(GRUCell(3, 4)), r"cell: expected an output as wide .*got 4 and 3 of GRUCell.*hidden_size=3"),
        (
            lambda: wrapped(3, 4, cell=LSTMCell, wrappers=[Zoneout(GRUCell(3, 4), p=0.1)]),
            r"wrappers\[0\]: expected a factory, called as wrapper\(cell\).*got a Zoneout instance.*_partial_: true",
        ),
        (
            lambda: wrapped(3, 4, cell=LSTMCell, wrappers=[{"_target_": "Zoneout"}]),
            r"wrappers\[0\]: .*got a dict instance",
        ),
        (lambda: wrapped(3, 4, cell=LSTMCell, wrappers=[str]), r"wrappers\[0\]: .*got one that returns str"),
        (lambda: wrapped(3, 4, cell=LSTMCell(3, 4), wrappers=[]), r"cell: .*cell\(input_size.*got a LSTMCell instance"),
        (lambda: wrapped(3, 4, cell=nn.Linear, wrappers=[]), r"cell: .*got one that returns Linear"),
        (
            lambda: wrapped(3, 4, cell=LSTMCell, wrappers=partial(Residual)),
            r"wrappers: expected a list of wrappers, .*; got partial",
        ),
    ],
)
def test_what_cannot_be_wrapped_is_told_in_one_message(build: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build()
