"""The compiled engine called in all the ways that autograd and batches allow."""

import copy
import gc
import pickle
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from rnnkit import scan
from rnnkit.cells import LayerNormLSTMCell, PeepholeLSTMCell
from rnnkit.engines import toolchain
from rnnkit.engines.compiled import kernels
from rnnkit.engines.compiled.cpu import kernel

run = partial(scan, engine="compiled")
loop = partial(scan, engine="reference")


@pytest.fixture(scope="module", autouse=True)
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def cell(double: None) -> LayerNormLSTMCell:
    torch.manual_seed(0)
    return LayerNormLSTMCell(3, 6)


def gradients(cell: Any, y: Tensor, **options: bool) -> list[Tensor]:
    return list(torch.autograd.grad(y.square().sum(), list(cell.parameters()), **options))


def same(found: Any, expected: Any, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_any_length_and_any_batch_with_one_kernel(cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run(cell, torch.randn(2, 4, 3, requires_grad=True))
    built, loaded = [], []
    init, load = kernel.Kernel.__init__, toolchain.load
    monkeypatch.setattr(kernel.Kernel, "__init__", lambda *a, **k: (built.append(1), init(*a, **k))[1])
    monkeypatch.setattr(toolchain, "load", lambda source: (loaded.append(1), load(source))[1])
    for B, T in [(1, 1), (1, 9), (7, 1), (13, 30), (0, 4), (3, 0), (64, 2)]:
        x = torch.randn(B, T, 3, requires_grad=True)
        (found, end), (expected, expected_end) = run(cell, x), loop(cell, x)
        same(found, expected)
        same(end.cell, expected_end.cell)
        if T > 0:
            same(gradients(cell, found), gradients(cell, expected))
    assert not built
    assert not loaded


def test_a_cell_of_its_equals_shares_the_compiled_text(cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run(cell, torch.randn(2, 4, 3))
    monkeypatch.setattr(toolchain, "_compile", lambda *_: pytest.fail("compiled again"))
    twin = LayerNormLSTMCell(3, 6)
    x = torch.randn(2, 4, 3)
    same(run(twin, x)[0], loop(twin, x)[0])


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("two_threads")
def test_two_threads_give_what_one_gives(cell: Any) -> None:
    x = torch.randn(5, 7, 3, requires_grad=True)
    lengths = torch.tensor([7, 0, 3, 7, 1])
    two = run(cell, x, lengths=lengths)[0]
    two_gradients = gradients(cell, two)
    torch.set_num_threads(1)
    one = run(cell, x, lengths=lengths)[0]
    assert torch.equal(one, two)
    same(two_gradients, gradients(cell, one))


@pytest.mark.parametrize(
    "view",
    [
        lambda: torch.randn(7, 4, 3).transpose(0, 1),
        lambda: torch.randn(4, 3, 7).transpose(1, 2),
        lambda: torch.randn(1, 7, 3).expand(4, -1, -1),
        lambda: torch.randn(4, 1, 3).expand(-1, 7, -1),
        lambda: torch.randn(8, 14, 6)[::2, ::2, 1:4],
        lambda: torch.randn(4, 7, 3).flip(1),
    ],
    ids=["time first", "features in the middle", "one sequence", "one step", "sliced", "flipped"],
)
def test_an_input_may_lie_in_memory_as_it_likes(cell: Any, view: Any) -> None:
    x = view()
    same(run(cell, x)[0], loop(cell, x)[0])


def test_a_state_and_weights_may_lie_in_memory_as_they_like(cell: Any) -> None:
    twin = copy.deepcopy(cell)
    twin.weight_hh.data = twin.weight_hh.data.t().contiguous().t()
    x, state = torch.randn(4, 7, 3), cell.initial_state(1)
    state = type(state)(*(torch.randn(1, 6).expand(4, 6), torch.randn(6, 4).t()))
    same(run(twin, x, state)[0], loop(cell, x, state)[0])


def test_a_learned_initial_state_may_be_one_row_for_all_rows(written: Any, agree: Any) -> None:
    def step(c: Any, x: Tensor, h: Tensor) -> Any:
        h = torch.tanh(c.mix(x, h))
        return h, h

    agree(written(step, initial=lambda c, n: c.b.expand(n, -1)), padded=True)
    agree(written(step, initial=lambda c, n: (c.b[None] * c.s).repeat(n, 2)[:, ::2]), padded=True)


def test_whatever_a_loss_looks_at(cell: Any) -> None:
    x = torch.randn(4, 7, 3)
    for pick in (lambda y, s: y[:, -1], lambda y, s: s.cell, lambda y, s: s.hidden, lambda y, s: y[:, 2] + s.cell):
        found, expected = (gradients(cell, pick(*engine(cell, x))) for engine in (run, loop))
        same(found, expected)


def test_only_x_asks_for_a_gradient(written: Any, agree: Any) -> None:
    def step(c: Any, x: Tensor, h: Tensor) -> Any:
        h = torch.tanh(c.mix(x, h))
        return h, h

    agree(written(step, setup=lambda c: c.requires_grad_(False)))
    agree(written(step), x_grad=False)


def test_two_backward_passes_over_one_forward(cell: Any) -> None:
    y = run(cell, torch.randn(4, 7, 3))[0]
    first = gradients(cell, y, retain_graph=True)
    same(gradients(cell, y, retain_graph=True), first, 0)
    same(gradients(cell, 2 * y), [4 * gradient for gradient in first])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients(cell: Any, mode: Any) -> None:
    x = torch.randn(4, 7, 3)
    with mode():
        y, end = run(cell, x)
        same(y, loop(cell, x)[0])
        same(run(cell, x, end)[0], loop(cell, x, end)[0])
    assert not y.requires_grad


def test_after_inference_mode_there_are_gradients_again(cell: Any) -> None:
    twin, x = copy.deepcopy(cell), torch.randn(4, 7, 3)
    with torch.inference_mode():
        run(twin, x)
    same(gradients(twin, run(twin, x)[0]), gradients(twin, loop(twin, x)[0]))


def test_autocast(cell: Any) -> None:
    torch.set_default_dtype(torch.float32)
    cell = copy.deepcopy(cell).float()
    x = torch.randn(4, 7, 3, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (found, end), (expected, expected_end) = run(cell, x), loop(cell, x)
    assert found.dtype == expected.dtype
    assert end.cell.dtype == expected_end.cell.dtype
    same(found, expected, 2e-2)
    same(gradients(cell, found.float()), gradients(cell, expected.float()), 1e-1)
    assert run(cell, x)[0].dtype == torch.float32
    torch.set_default_dtype(torch.float64)


def test_copies_and_pickles_of_a_cell_that_has_run(cell: Any) -> None:
    x = torch.randn(4, 7, 3)
    y = run(cell, x)[0]
    for twin in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        assert torch.equal(run(twin, x)[0], y)


def test_a_kernel_keeps_no_cell_alive() -> None:
    cell = PeepholeLSTMCell(2, 3)
    kept = weakref.ref(cell)
    run(cell, torch.randn(1, 2, 2))
    count = len(kernels._kernels)
    del cell
    gc.collect()
    assert kept() is None
    assert len(kernels._kernels) < count


@pytest.mark.parametrize("engine", [run, loop])
def test_a_weight_changed_before_the_backward_pass_is_noticed(cell: Any, engine: Any) -> None:
    twin = copy.deepcopy(cell)
    y = engine(twin, torch.randn(2, 4, 3))[0]
    with torch.no_grad():
        twin.weight_hh.mul_(2)
    with pytest.raises(RuntimeError, match="inplace"):
        y.sum().backward()


def test_nan_goes_where_it_goes_in_the_loop_and_from_padding_nowhere(cell: Any) -> None:
    x = torch.randn(3, 5, 3)
    x[0, 2] = torch.nan
    assert torch.equal(run(cell, x)[0].isnan(), loop(cell, x)[0].isnan())
    lengths = torch.tensor([2, 5, 4])
    x[2, 4] = torch.inf
    x.requires_grad_()
    y, end = run(cell, x, lengths=lengths)
    found = torch.autograd.grad(y.sum() + end.cell.sum(), [x, *cell.parameters()])
    assert all(value.isfinite().all() for value in (y, *end, *found))
