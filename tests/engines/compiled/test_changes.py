"""A cell is compiled in the condition it is in: whatever changes about it is noticed."""

import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnnkit import scan
from rnnkit.cells import LSTMCell, Zoneout
from rnnkit.engines.compiled import kernels


def plain(c: Any, x: Tensor, h: Tensor) -> Any:
    h = torch.tanh(c.mix(x, h))
    return h, h


def scaled_by(read: Callable[[Any], Any]) -> Any:
    def step(c: Any, x: Tensor, h: Tensor) -> Any:
        h = torch.tanh(c.mix(x, h) * read(c))
        return h, h

    return step


def function_of(c: Any, x: Tensor, h: Tensor) -> Any:
    h = c.function(c.mix(x, h)) / 2
    return h, h


OPTIONS: dict[str, tuple[Any, Any, Any]] = {
    "a number": (lambda c: setattr(c, "p", 0.1), lambda c: setattr(c, "p", 0.7), scaled_by(lambda c: c.p)),
    "a private number": (lambda c: setattr(c, "_p", 0.1), lambda c: setattr(c, "_p", 0.7), scaled_by(lambda c: c._p)),
    "nothing": (lambda c: setattr(c, "p", None), lambda c: setattr(c, "p", 0.7), scaled_by(lambda c: c.p or 1)),
    "a list": (lambda c: setattr(c, "p", [0.1]), lambda c: c.p.append(0.7), scaled_by(lambda c: sum(c.p))),
    "a dict": (lambda c: setattr(c, "p", {"a": 0.1}), lambda c: c.p.update(a=0.7), scaled_by(lambda c: c.p["a"])),
    "a list in a tuple": (
        lambda c: setattr(c, "p", ([0.1],)),
        lambda c: c.p[0].append(0.7),
        scaled_by(lambda c: sum(c.p[0])),
    ),
    "an object": (
        lambda c: setattr(c, "p", types.SimpleNamespace(a=0.1)),
        lambda c: setattr(c.p, "a", 0.7),
        scaled_by(lambda c: c.p.a),
    ),
    "a function": (
        lambda c: setattr(c, "function", torch.tanh),
        lambda c: setattr(c, "function", torch.sigmoid),
        function_of,
    ),
    "a module": (
        lambda c: setattr(c, "function", nn.Tanh()),
        lambda c: setattr(c, "function", nn.Sigmoid()),
        function_of,
    ),
    "a module's option": (
        lambda c: setattr(c, "function", nn.LeakyReLU(0.1)),
        lambda c: setattr(c.function, "negative_slope", 0.5),
        function_of,
    ),
    "a buffer": (
        lambda c: c.register_buffer("p", torch.ones(6)),
        lambda c: c.p.mul_(3),
        scaled_by(lambda c: c.p),
    ),
    "a parameter's rows": (
        lambda c: setattr(c, "p", nn.Parameter(torch.ones(2, 6))),
        lambda c: setattr(c.p, "data", torch.ones(5, 6)),
        scaled_by(lambda c: c.p.sum(0)),
    ),
    "a weight's values": (lambda _: None, lambda c: c.u.data.mul_(2), plain),
    "a weight's memory": (lambda _: None, lambda c: setattr(c.u, "data", torch.randn(6, 6).t()), plain),
    "a weight": (lambda _: None, lambda c: setattr(c, "u", nn.Parameter(torch.randn(6, 6))), plain),
    "a frozen weight": (lambda _: None, lambda c: c.u.requires_grad_(False), plain),
    "loaded weights": (
        lambda _: None,
        lambda c: c.load_state_dict({name: 2 * value for name, value in c.state_dict().items()}),
        plain,
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_change_is_noticed(name: str, written: Any, agree: Any) -> None:
    setup, change, step = OPTIONS[name]
    cell = written(step, setup=setup)
    agree(cell)
    change(cell)
    agree(cell)


def test_another_precision_and_back(written: Any, agree: Any) -> None:
    cell = written(plain)
    for dtype in (torch.float32, torch.float64, torch.float32):
        agree(cell, dtype)


def test_training_and_evaluation(written: Any, agree: Any) -> None:
    def step(c: Any, x: Tensor, h: Tensor) -> Any:
        h = torch.tanh(c.mix(x, c.drop(h)))
        return h, h

    cell = written(step, setup=lambda c: setattr(c, "drop", nn.Dropout(0.5))).eval()
    agree(cell)
    x, h = torch.ones(2, 3, 3, dtype=torch.float64), torch.ones(2, 6, dtype=torch.float64)
    one, two = (scan(cell.train(), x, h, engine="compiled")[0] for _ in range(2))
    assert not torch.equal(one, two)
    agree(cell.eval())


def test_an_option_of_a_wrapper() -> None:
    x = torch.randn(2, 4, 3)
    cell = Zoneout(LSTMCell(3, 5), 0.1).eval()
    for cell.p in (0.1, 0.6):
        torch.testing.assert_close(scan(cell, x, engine="compiled")[0], scan(cell, x, engine="reference")[0])


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("dropout", lambda h: nn.functional.dropout(torch.ones_like(h), 0.5)),
        ("rand", lambda h: torch.rand(h.shape)),
        ("randn_like", torch.randn_like),
        ("in place", lambda h: torch.zeros_like(h).normal_()),
        ("bernoulli", lambda h: torch.bernoulli(torch.full_like(h, 0.5))),
        ("distribution", lambda h: torch.distributions.Normal(0.0, 1.0).sample(h.shape)),
    ],
)
def test_random_numbers_differ_between_steps_rows_and_calls_and_come_again(name: str, draw: Any, written: Any) -> None:
    cell = written(lambda c, x, h: (draw(h), h * c.s + c.mix(x, h) * 0))
    x = torch.zeros(40, 30, 3)

    def drawn() -> Tensor:
        y: Tensor = scan(cell, x, engine="compiled")[0].detach()
        return y

    torch.manual_seed(1)
    one, two = drawn(), drawn()
    torch.manual_seed(1)
    assert torch.equal(drawn(), one)
    centered = one - one.mean()
    mean, spread = {"dropout": (1, 1), "rand": (0.5, 12**-0.5), "bernoulli": (0.5, 0.5)}.get(name, (0, 1))
    assert abs(one.mean() - mean) < 0.06
    assert abs(centered.std() - spread) < 0.06
    others = [two - two.mean(), centered.roll(1, 0), centered.roll(1, 1), centered.roll(1, 2)]
    for other in others:
        assert abs((centered * other).mean()) < 0.06 * spread**2 + 0.01


def test_noise_inside_of_the_recurrence_has_its_gradient(written: Any) -> None:
    """With the noise of every step drawn first, the loop over them is an ordinary one."""

    def step(c: Any, x: Tensor, h: Tensor) -> Any:
        h = torch.tanh(c.mix(x, h) + torch.randn_like(h))
        return h, h

    cell, x = written(step), torch.randn(3, 5, 3)
    torch.manual_seed(2)
    found = torch.autograd.grad(scan(cell, x, engine="compiled")[0].square().sum(), cell.u)
    torch.manual_seed(2)
    noise_TBH = torch.randn(5 * 3, 6).view(5, 3, 6)
    h, total = torch.zeros(3, 6), torch.zeros(())
    for t in range(5):
        h = torch.tanh(cell.mix(x[:, t], h) + noise_TBH[t])
        total = total + h.square().sum()
    torch.testing.assert_close(found, torch.autograd.grad(total, cell.u))


def test_another_condition_is_another_kernel(written: Any, agree: Any) -> None:
    cell = written(plain)
    agree(cell)
    before = len(kernels._kernels[cell])
    agree(cell)
    assert len(kernels._kernels[cell]) == before
    agree(cell.requires_grad_(False))
    assert len(kernels._kernels[cell]) == before + 1
