"""Cells of all the operations that people use: compiled, each is what its Python loop is."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
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


@cell()
def in_place(c: Any, x: Tensor, h: Tensor) -> Any:
    a = c.mix(x, h)
    a += h
    a.mul_(0.5)
    a[:, :3] += 1
    a[:, 3] = h[:, 0]
    n = torch.zeros_like(h)
    n[:, :2] = torch.tanh(a[:, :2])
    n[:, 2:] = torch.sigmoid(a[:, 2:]) * h[:, 2:]
    return n, n


@cell(setup=lambda c: setattr(c, "net", nn.Sequential(nn.Linear(9, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, H))))
def modules(c: Any, x: Tensor, h: Tensor) -> Any:
    h = torch.tanh(c.net(torch.cat([x, h], 1)))
    return h, h


@cell(setup=lambda c: setattr(c, "inner", nn.GRUCell(3, H)))
def gru_of_torch(c: Any, x: Tensor, h: Tensor) -> Any:
    h = c.inner(x, h)
    return h, h


@cell(setup=lambda c: setattr(c, "inner", nn.LSTMCell(3, H)), initial=pair(H))
def lstm_of_torch(c: Any, x: Tensor, state: Pair) -> Any:
    h, k = c.inner(x, tuple(state))
    return torch.sigmoid(h @ c.u) * h, Pair(h, k)


@cell()
def heads(c: Any, x: Tensor, h: Tensor) -> Any:
    u = c.u.view(2, 3, 6)
    mixed = torch.einsum("bnv,nvw->bw", h.view(-1, 2, 3), u)
    apart = torch.einsum("bnv,nvw->bnw", h.unflatten(1, (2, 3)), u[..., :3])
    h = torch.tanh(x @ c.w.T + mixed + apart.flatten(1))
    return h, h


@cell()
def softmaxes(c: Any, x: Tensor, h: Tensor) -> Any:
    a = c.mix(x, h)
    parts = torch.stack([torch.tanh(a), h / 2], dim=1)
    h = parts.softmax(1)[:, 0] + torch.softmax(a, -1) - 0.1 * torch.log_softmax(a, -1)
    return h, torch.tanh(h - a.logsumexp(-1, keepdim=True))


@cell()
def activations(c: Any, x: Tensor, h: Tensor) -> Any:
    a = c.mix(x, h)
    b = F.gelu(a) + F.gelu(a, approximate="tanh") + F.silu(a) - F.elu(a) + F.softplus(a) + F.leaky_relu(a)
    b = b - F.hardtanh(a) + F.mish(a) + F.relu6(a) + F.softsign(a) + F.logsigmoid(a) + F.prelu(a, c.s.view(1))
    h = torch.tanh(b / 5 + torch.cat([F.glu(a), F.selu(a[:, ::2])], 1))
    return h, h


@cell()
def choices(c: Any, x: Tensor, h: Tensor) -> Any:
    a = c.mix(x, h)
    h = torch.where((a > 0) & (h < 0.3) | ~(x[:, :1] > 1), torch.tanh(a), h / 2)
    h = h + a.clamp(-0.5, 0.8) / 3 + a.clamp(min=0) / 9 + a.clamp_max(0.3).masked_fill(a > 0.2, 0.1) / 9
    return h, torch.minimum(h, a.tanh()) + torch.maximum(h, a.tanh()) / 3


@cell()
def powers(c: Any, x: Tensor, h: Tensor) -> Any:
    a = torch.sigmoid(c.mix(x, h))
    h = a.pow(2) + (a**3 + a**0.5 + a**1.7 - a**-1 + a**c.s + a**a + 2**a) / 10
    return h, torch.lerp(h, a, 0.3) - torch.addcmul(a, a, h, value=0.3) / (torch.add(a, a, alpha=0.5) + 1)


@cell()
def functions(c: Any, x: Tensor, h: Tensor) -> Any:
    a = c.mix(x, h)
    b = torch.sin(a) + torch.cos(a) + torch.atan(a) + torch.log1p(a * a) + torch.expm1(-a * a) + torch.erf(a)
    b = b + a.abs().sqrt() + torch.atan2(a, h + 3) + torch.sinh(a.tanh()) + torch.asin(a.tanh() * 0.9) + a.exp().log()
    h = torch.tanh(b / 5 + a.floor() / 9 + a.ceil() / 9 + a.round() + a.trunc() + a.sign() + torch.nan_to_num(a))
    return h, h


@cell(setup=lambda c: setattr(c, "norm", nn.LayerNorm(H, elementwise_affine=False)))
def moments(c: Any, x: Tensor, h: Tensor) -> Any:
    a = c.mix(x, h)
    b = (a - a.mean(1, keepdim=True)) / (a.var(1, keepdim=True) + 0.1).sqrt() + a / (a.norm(dim=-1, keepdim=True) + 1)
    b = b + a / (1 + a.std(-1, keepdim=True)) + a.amax(-1, keepdim=True) - a.amin(1)[:, None] + F.normalize(a, dim=-1)
    h = torch.tanh(b / 3 + F.rms_norm(a, (H,), c.b) + c.norm(a) + F.cosine_similarity(a, h + 1, dim=1)[:, None])
    return h, h


@cell()
def shapes(c: Any, x: Tensor, h: Tensor) -> Any:
    a, b, d = c.mix(x, h).split([1, 2, 3], 1)
    e = torch.stack([torch.tanh(part) for part in reversed(torch.cat([d, a, b], 1).unbind(1))], 1)
    e = e.view(-1, 2, 3).transpose(1, 2).reshape(-1, H) + h[:, :1].expand(-1, H) + c.b.expand(len(x), -1)
    e = torch.cat([e[:, ::2], e[:, 1::2], e[:, -2:], e[:, :-2]], 1).chunk(2, 1)[1]
    return e.roll(1, 1) / 3 + F.pad(h[:, 1:], (0, 1)) / 3 + x.repeat(1, 2) / 3, torch.tanh(e)


@pytest.mark.parametrize("name", STEPS)
def test_values_and_gradients_are_those_of_the_loop(name: str, written: Any, agree: Any) -> None:
    step, options = STEPS[name]
    agree(written(step, **options), torch.float32)


@pytest.mark.parametrize("name", STEPS)
def test_padded_reset_and_reversed_too(name: str, written: Any, agree: Any) -> None:
    step, options = STEPS[name]
    agree(written(step, **options), padded=True)
