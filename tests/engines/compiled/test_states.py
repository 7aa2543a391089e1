"""States, weights and gradients of all kinds: a compiled cell is what its Python loop is."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

H = 6
STEPS: dict[str, tuple[Any, dict[str, Any]]] = {}


class Pair(NamedTuple):
    h: Tensor
    k: Tensor


def cell(**options: Any) -> Callable[[Any], Any]:
    """A step of its own name, tried by the test below."""

    def named(step: Any) -> Any:
        STEPS[step.__name__] = (step, options)
        return step

    return named


def pair(*shape: int, dtype: torch.dtype | None = None) -> Callable[[Any, int], Pair]:
    """Two states of zeros, the second [B, *shape]."""
    return lambda cell, n: Pair(
        cell.u.new_zeros(n, H), torch.zeros(n, *shape, dtype=cell.u.dtype if dtype is None else dtype)
    )


@cell(initial=pair(H, 4))
def matrix_state(c: Any, x: Tensor, state: Pair) -> Any:
    a = torch.tanh(c.mix(x, state.h))
    memory = 0.9 * state.k + a.unsqueeze(2) * a[:, None, :4]
    h = torch.tanh(a + (memory * a[:, None, :4]).sum(-1))
    return h, Pair(h, memory)


@cell(initial=pair(), output_size=3)
def scalar_state(c: Any, x: Tensor, state: Pair) -> Any:
    h = torch.tanh(c.mix(x, state.h) + state.k[:, None])
    return h[:, :3], Pair(h, state.k / 2 + h.mean(1))


@cell(initial=pair(dtype=torch.int64))
def counter(c: Any, x: Tensor, state: Pair) -> Any:
    h = torch.tanh(c.mix(x, state.h) / (1 + state.k[:, None]) + (~state.k // 2)[:, None] / 9)
    return torch.where((state.k < 2.5)[:, None], h, -h), Pair(h, state.k + 1)


@cell(initial=pair(H, dtype=torch.bool))
def booleans(c: Any, x: Tensor, state: Pair) -> Any:
    a = c.mix(x, state.h)
    h = torch.where(~state.k & (a > 0), a.tanh(), a.sigmoid()) / (1 + (a > 0).sum(1, keepdim=True))
    return h, Pair(h, (h > 0.1) ^ state.k | (x[:, :1] > 1))


@cell(initial=pair(H), setup=lambda c: setattr(c, "readout", nn.Linear(H, 2)), output_size=2)
def readout(c: Any, x: Tensor, state: Pair) -> Any:
    h = torch.tanh(c.mix(x, state.h) + state.k)
    return torch.log_softmax(c.readout(h + state.h), -1), Pair(state.k, h)


@cell(initial=pair(H))
def delay_line(c: Any, x: Tensor, state: Pair) -> Any:
    h = torch.tanh(c.mix(x, state.h) + state.k @ c.u.T)
    return h, Pair(h, state.h)


@cell(initial=pair(H))
def delay_line_the_other_way(c: Any, x: Tensor, state: Pair) -> Any:
    h = torch.tanh(c.mix(x, state.h) + state.k @ c.u.T)
    return h[:, :3].repeat(1, 2), Pair(state.k, h)


@cell(initial=pair(H))
def exchange(c: Any, x: Tensor, state: Pair) -> Any:
    return torch.tanh(c.mix(x, state.h) + state.k @ c.u.T), Pair(state.k, state.h)


@cell(initial=pair(H))
def input_into_a_linear_state(c: Any, x: Tensor, state: Pair) -> Any:
    h = torch.tanh(state.k + state.h @ c.u)
    return h, Pair(h, state.k / 2 + x @ c.w.T)


@cell(initial=pair(H), output_size=3)
def constant_state(c: Any, x: Tensor, state: Pair) -> Any:
    return x, Pair(torch.tanh(c.mix(x, state.h) + state.k), state.k)


@cell(initial=pair(3))
def state_overwritten(c: Any, x: Tensor, state: Pair) -> Any:
    return state.h, Pair(torch.tanh(c.mix(x - state.k, state.h.detach()) + state.h / 3), x)


@cell(initial=pair(H))
def learned_state_unused(c: Any, x: Tensor, state: Pair) -> Any:
    h = torch.tanh(c.mix(x, state.h))
    return c.b.expand_as(h), Pair(h, c.b.expand_as(h))


@cell(initial=pair(H))
def nothing_recurs(c: Any, x: Tensor, state: Pair) -> Any:
    return torch.tanh(x @ c.w.T), state


def with_buffers(c: Any) -> None:
    c.register_buffer("kept", torch.tensor([1.0, 0, 1, 1, 0, 1]))
    c.register_buffer("number", torch.tensor(3))
    c.register_buffer("flags", torch.tensor([True, False] * 3))
    c.w.requires_grad_(False)
    c.b.requires_grad_(False)


@cell(setup=with_buffers)
def buffers_and_frozen(c: Any, x: Tensor, h: Tensor) -> Any:
    h = torch.where(c.flags, torch.tanh(c.mix(x, h)) * c.kept + c.number * 0.1, h / 2) * torch.sigmoid(c.s)
    return h, h


def with_sharing(c: Any) -> None:
    c.again, c.one, c.two = c.u, nn.Linear(H, H), nn.Linear(H, H)
    c.two.weight = c.one.weight
    c.row, c.column = nn.Parameter(torch.zeros(1, H)), nn.Parameter(torch.randn(H, 1))


@cell(setup=with_sharing)
def weights_twice(c: Any, x: Tensor, h: Tensor) -> Any:
    a = (c.w @ x.T).T + (c.u @ h.T).T + h @ c.again + torch.tanh(h @ c.u.T) @ c.u.T + c.one(h) + c.two(h.sigmoid())
    a = a + (c.column * h.unsqueeze(-1)).squeeze(-1) * torch.exp(c.row) + torch.mv(h, c.b)[:, None]
    h = torch.tanh(a + h @ (c.u.tril() - torch.eye(H, dtype=h.dtype)) * torch.tensor(0.5) + torch.arange(H) / 9)
    return h, h


class Spike(torch.autograd.Function):
    """A threshold whose gradient is a smooth one's."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        ctx.save_for_backward(v)
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (v,) = ctx.saved_tensors
        return g / (1 + 3 * v.abs()) ** 2


class Rounded(torch.autograd.Function):
    """Quarters, with the gradient passed straight through."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return torch.round(value * 4) / 4

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        return g


@cell(initial=pair(H))
def surrogate_gradients(c: Any, x: Tensor, state: Pair) -> Any:
    v = 0.8 * state.h + Rounded.apply(x) @ c.w.T + state.k @ Rounded.apply(c.u).T - state.k
    spike = Spike.apply(v - 0.3)
    return spike + v.sigmoid() - v.sigmoid().detach(), Pair(v, spike)


@cell()
def many_products(c: Any, x: Tensor, h: Tensor) -> Any:
    for _ in range(3):
        h = h + 0.1 * (torch.tanh(c.mix(x, h)) - h)
    return h, ((h[:, :3].unsqueeze(2) * h[:, None, :3]).flatten(1)[:, :H] @ c.u.T).tanh()


@pytest.mark.parametrize("name", STEPS)
def test_values_and_gradients_are_those_of_the_loop(name: str, written: Any, agree: Any) -> None:
    step, options = STEPS[name]
    agree(written(step, **options), torch.float32)


@pytest.mark.parametrize("name", STEPS)
def test_padded_reset_and_reversed_too(name: str, written: Any, agree: Any) -> None:
    step, options = STEPS[name]
    agree(written(step, **options), padded=True)


def test_a_cell_within_a_cell(written: Any, agree: Any) -> None:
    def inner(c: Any, x: Tensor, h: Tensor) -> Any:
        h = torch.tanh(c.mix(x, h))
        return h, h

    def step(c: Any, x: Tensor, state: Pair) -> Any:
        y, h = c.layers[0](x, state.h)
        y, k = c.layers[1](y[:, :3], state.k)
        return y, Pair(h, k)

    layers = nn.ModuleList(written(inner) for _ in range(2))
    agree(written(step, initial=pair(H), setup=lambda c: setattr(c, "layers", layers)), padded=True)
