"""What is written into between forward and backward: gradients are right, or torch's error says so."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnkit import RNN
from rnnkit.cells import (
    Cell,
    GRUCell,
    LayerNormLSTMCell,
    LinearCell,
    LSTMCell,
    MinGRUCell,
    SRUCell,
    Zoneout,
    map_state,
    state_leaves,
)
from rnnkit.engines import ENGINES, scan
from rnnkit.engines.compiled.cpu.kernel import Kernel
from rnnkit.engines.policy import refusal
from rnnkit.engines.request import Request

RUNS = [
    (LSTMCell, "native"),
    (GRUCell, "native"),
    (LSTMCell, "compiled"),
    (GRUCell, "compiled"),
    (LayerNormLSTMCell, "compiled"),
    (MinGRUCell, "compiled"),
    (MinGRUCell, "parallel"),
    (SRUCell, "parallel"),
    (LSTMCell, "reference"),
]


def mask_of(y: Tensor) -> Tensor:
    return torch.rand(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype) + 0.5


def scaled(y: Tensor) -> Tensor:
    y *= mask_of(y)
    return y


def part_of(y: Tensor) -> Tensor:
    y[:, 1:3] = 0
    return y


def unseen_by_autograd(y: Tensor) -> Tensor:
    total = y * 2
    with torch.no_grad():
        y.zero_()
    return total


IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "ReLU": nn.ReLU(inplace=True),
    "dropout": lambda y: functional.dropout(y, 1e-9, inplace=True),
    "a mask": scaled,
    "a part": part_of,
    "tanh": torch.tanh_,
    "a view": lambda y: y[:, 2].mul_(3) + y[:, 1],
    "no_grad": unseen_by_autograd,
}


def gradients(cell: Cell[Any], engine: str, change: Callable[[Tensor], Tensor], **form: Any) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 20, 3, generator=generator).to(next(cell.parameters()).dtype).requires_grad_()
    torch.manual_seed(0)
    y, end = scan(cell, x, engine=engine, **form)
    total = change(y).sin().sum() + torch.stack([leaf.double().sum() for leaf in state_leaves(end)]).sum()
    return list(torch.autograd.grad(total, [x, *cell.parameters()]))


@pytest.mark.parametrize("name", IN_PLACE)
@pytest.mark.parametrize(("cell", "engine"), RUNS, ids=lambda value: getattr(value, "__name__", value))
def test_an_output_may_be_written_into(cell: Any, engine: str, name: str) -> None:
    torch.manual_seed(0)
    twin = cell(3, 4)
    wanted = gradients(twin.double(), "reference", IN_PLACE[name])
    found = gradients(twin.float(), engine, IN_PLACE[name])
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", [{"reverse": True}, {"checkpoint_every": 7}, {"lengths": torch.tensor([20, 3, 0, 9])}])
@pytest.mark.parametrize(("cell", "engine"), RUNS[:-1], ids=lambda value: getattr(value, "__name__", value))
def test_in_every_form(cell: Any, engine: str, form: dict[str, Any]) -> None:
    twin = cell(3, 4).double()
    for change in (nn.ReLU(inplace=True), scaled):
        found, wanted = (gradients(twin, which, change, **form) for which in (engine, "reference"))
        torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-9)


def test_in_both_directions_and_in_depth() -> None:
    rnn, x = RNN(LSTMCell, 3, 4, num_layers=2, bidirectional=True, dropout=nn.ReLU(inplace=True)), torch.randn(2, 20, 3)
    found, wanted = (
        torch.autograd.grad(nn.ReLU(inplace=True)(rnn(x, engine=engine)[0]).sum(), list(rnn.parameters()))
        for engine in ("auto", "reference")
    )
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_noise_in_every_step_is_not_drawn_again() -> None:
    cell = Zoneout(LSTMCell(3, 4), 0.5).double()
    x = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)

    def total(x: Tensor, written: bool) -> Tensor:
        torch.manual_seed(0)
        y, _ = scan(cell, x, engine="compiled")
        return (y.mul_(2) if written else 2 * y).sin().sum()

    found, wanted = (torch.autograd.grad(total(x, written), x) for written in (True, False))
    torch.testing.assert_close(found, wanted)


def test_what_is_not_written_into_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And memory is not taken twice: the output shows the states that are kept for the backward pass."""
    cell, x = LayerNormLSTMCell(3, 64), torch.randn(2, 20, 3)
    forward, calls = Kernel.forward, []
    monkeypatch.setattr(Kernel, "forward", lambda *a: (calls.append(1), forward(*a))[1])
    y, _ = scan(cell, x, engine="compiled")
    kept = [t for t in y.grad_fn.saved_tensors if t.untyped_storage().data_ptr() == y.untyped_storage().data_ptr()]
    assert kept
    y.sum().backward()
    assert calls == [1]
    scan(cell, x, engine="compiled")[0].mul_(2).sum().backward()
    assert calls == [1] * 3


@pytest.mark.parametrize("engine", ["compiled", "reference"])
def test_an_output_is_neither_the_input_nor_a_weight(engine: str, written: Any) -> None:
    """A step may give out what it was given; the caller's tensors are the caller's all the same."""
    given: list[Callable[..., Tensor]] = [lambda c, x, h: x, lambda c, x, h: h, lambda c, x, h: c.b.expand_as(h)]
    for pick in given:
        for grad in (True, False):
            cell = written(lambda c, x, h, p=pick: (p(c, x, h), torch.tanh(c.mix(x, h))), output_size=6)
            cell.output_size = pick(cell, torch.zeros(1, 3), torch.zeros(1, 6)).shape[1]
            x, h, b = torch.randn(1, 2, 3), torch.randn(1, 6), cell.b.detach().clone()
            kept = x.clone(), h.clone()
            with torch.set_grad_enabled(grad):
                y, end = scan(cell, x, h, engine=engine)
                before = end.clone()
                y.detach().mul_(2)
            assert torch.equal(x, kept[0])
            assert torch.equal(h, kept[1])
            assert torch.equal(cell.b, b)
            assert torch.equal(end, before)


class Shown(LinearCell):
    """Whose output is its input."""

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, self.hidden_size)

    def coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full_like(x, 0.5), x

    def readout(self, h: Tensor, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize("engine", ["parallel", "compiled", "reference"])
def test_an_output_of_a_linear_cell_is_not_the_input(engine: str) -> None:
    x = torch.ones(2, 20, 3)
    scan(Shown(3, 3), x, engine=engine)[0].zero_()
    assert x.all()


@pytest.mark.parametrize("engine", [*ENGINES, "auto"])
@pytest.mark.parametrize("cell", [LSTMCell, GRUCell, MinGRUCell])
@pytest.mark.parametrize("T", [1, 20])
def test_an_output_is_not_the_state(cell: Any, T: int, engine: str) -> None:
    """Nor in a live stream, whose state goes on to the next step."""
    twin = cell(3, 4)
    if engine != "auto" and refusal(engine, Request(twin, torch.ones(2, T, 3), twin.initial_state(2))):
        pytest.skip(f"{engine} does not run it")
    with torch.no_grad():
        state = twin.initial_state(2)
        for _ in range(3):
            y, state = scan(twin, torch.ones(2, T, 3), state, engine=engine)
            kept = map_state(Tensor.clone, state)
            y.zero_()
            torch.testing.assert_close(state, kept)
    # Autograd sees nothing of the past in it either.
    y.mul_(nn.Parameter(torch.ones(4)))


@pytest.mark.parametrize("row_first", [True, False])
@pytest.mark.parametrize(("cell", "engine"), RUNS, ids=lambda value: getattr(value, "__name__", value))
def test_an_input_or_a_weight_or_a_state_that_is_written_into(cell: Any, engine: str, row_first: bool) -> None:
    twin = cell(3, 4).double()

    def gradient(change: Callable[[Tensor, Any], object], engine: str) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(4, 20, 3, generator=generator, dtype=torch.float64)
        x = x if row_first else x.transpose(0, 1).contiguous().transpose(0, 1)
        state = map_state(lambda leaf: leaf.detach() + 0.1, twin.initial_state(4))
        y, _ = scan(twin, x, state, engine=engine)
        change(x, state)
        return list(torch.autograd.grad(y.sum(), list(twin.parameters())))

    wanted = gradient(lambda x, state: None, "reference")
    weight = next(twin.parameters())
    changes: list[Callable[[Tensor, Any], object]] = [
        lambda x, state: x.zero_(),
        lambda x, state: state_leaves(state)[0].zero_(),
        lambda x, state: weight.detach().mul_(2),
    ]
    for change in changes:
        kept = weight.detach().clone()
        try:
            found = gradient(change, engine)
        except RuntimeError as error:
            assert "modified by an inplace operation" in str(error)  # noqa: PT017
        else:
            torch.testing.assert_close(found, wanted)
        with torch.no_grad():
            weight.copy_(kept)


def test_masks_of_a_window_may_be_used_for_the_next() -> None:
    """As `lengths -= steps` does, before the backward pass."""
    cell, x = LayerNormLSTMCell(3, 4).double(), torch.randn(3, 20, 3, dtype=torch.float64)
    lengths, reset = torch.tensor([20, 7, 0]), torch.zeros(3, 20, dtype=torch.bool)
    reset[0, 5] = True
    wanted = torch.autograd.grad(
        scan(cell, x, lengths=lengths, reset=reset, engine="reference")[0].relu_().sum(), list(cell.parameters())
    )
    y, _ = scan(cell, x, lengths=lengths, reset=reset, engine="compiled")
    lengths.zero_()
    reset.fill_(True)
    torch.testing.assert_close(torch.autograd.grad(y.relu_().sum(), list(cell.parameters())), wanted)
