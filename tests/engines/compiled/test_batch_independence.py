"""Products of two tensors that both belong to a row: reads of a memory, outer products, attention over a state."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rnnkit import scan
from rnnkit.engines import compiled
from rnnkit.engines.compiled import kernels
from rnnkit.engines.request import Request

H, N = 6, 5


def one(c: Any, rows: int) -> Tensor:
    return c.u.new_zeros(rows, H)


def rows(c: Any, rows: int) -> Tensor:
    return c.u.new_zeros(rows, N, H)


def heads(c: Any, rows: int) -> Tensor:
    return c.u.new_zeros(rows, 2, 3, H)


def written_at(c: Any, x: Tensor, m: Tensor) -> Tensor:
    """A memory [B, ..., H] that is written at all its rows."""
    w = x @ c.w.T
    return torch.tanh(0.9 * m + w.view(-1, *[1] * (m.dim() - 2), H))


def by_query(c: Any, x: Tensor, m: Tensor) -> Any:
    q = torch.tanh(x @ c.w.T)
    return (m @ q[:, :, None]).squeeze(2) @ c.u[:N], 0.9 * m + q[:, None] * c.b


def by_softmax(c: Any, x: Tensor, m: Tensor) -> Any:
    q = x @ c.w.T
    p = torch.einsum("bnd,bd->bn", m, q).softmax(-1)
    return torch.einsum("bn,bnd->bd", p, m), 0.9 * m + torch.einsum("bn,bd->bnd", torch.sigmoid(q)[:, :N], q)


def additive(c: Any, x: Tensor, m: Tensor) -> Any:
    p = (torch.tanh(m @ c.u + (x @ c.w.T)[:, None]) @ c.b).softmax(1)
    return (p[:, :, None] * m).sum(1), written_at(c, x, m)


def masked(c: Any, x: Tensor, m: Tensor) -> Any:
    score = (m * (x @ c.w.T)[:, None]).sum(-1).masked_fill(x[:, :1] > m[:, :, 0], -torch.inf)
    score = torch.where(torch.arange(N) == 0, 0.0, score)
    weight = (score - score.logsumexp(1, keepdim=True)).exp()
    return torch.bmm(weight[:, None], m)[:, 0], written_at(c, x, m)


def linear(c: Any, x: Tensor, m: Tensor) -> Any:
    return torch.tanh(m @ c.u).mean(1), torch.tanh(nn.functional.linear(m, c.u, c.b) + (x @ c.w.T)[:, None])


def squared(c: Any, x: Tensor, m: Tensor) -> Any:
    return m.mean(1), torch.tanh(m @ (m.transpose(1, 2) @ m) * 0.1 + (x @ c.w.T)[:, None])


def of_heads(c: Any, x: Tensor, m: Tensor) -> Any:
    read = torch.einsum("bhnd,bhd->bhn", m, m.mean(2) + (x @ c.w.T)[:, None]).flatten(1)
    return read, torch.tanh(m @ c.u + (x @ c.w.T)[:, None, None])


def squared_heads(c: Any, x: Tensor, m: Tensor) -> Any:
    after = torch.tanh(m @ (m.transpose(2, 3) @ m) * 0.1 + (x @ c.w.T)[:, None, None])
    return (m.transpose(2, 3) @ torch.tanh(m)).mean(3).mean(1), after


def torchs_attention(c: Any, x: Tensor, m: Tensor) -> Any:
    query = (x @ c.w.T)[:, None, None].expand(-1, 2, -1, -1)
    return nn.functional.scaled_dot_product_attention(query, m, m)[:, 0, 0], written_at(c, x, m)


def outer(c: Any, x: Tensor, m: Tensor) -> Any:
    key = torch.tanh(x @ c.w.T)
    return (m * key[:, None]).sum(2) @ c.u[:N], 0.5 * m + 0.1 * torch.bmm(m.mean(2)[:, :, None], key[:, None])


def of_a_vector(c: Any, x: Tensor, h: Tensor) -> Any:
    a = c.mix(x, h)
    return h + (h[:, :, None] @ a[:, None]).sum(1), torch.tanh(a)


STEPS: dict[str, tuple[Callable[..., Any], Callable[..., Tensor]]] = {
    "a read by a query": (by_query, rows),
    "a read by softmax": (by_softmax, rows),
    "additive attention": (additive, rows),
    "masks": (masked, rows),
    "a linear map of rows": (linear, rows),
    "a memory by itself": (squared, rows),
    "heads": (of_heads, heads),
    "heads by themselves": (squared_heads, heads),
    "torch's attention": (torchs_attention, heads),
    "an outer product": (outer, rows),
    "a vector's matrix": (of_a_vector, one),
}


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", STEPS)
def test_products_within_rows(name: str, dtype: torch.dtype, padded: bool, written: Any, agree: Any) -> None:
    torch.manual_seed(0)
    step, initial = STEPS[name]
    sample = written(step, initial)
    width = step(sample, torch.zeros(1, 3), initial(sample, 1))[0].shape[1]
    agree(written(step, initial, output_size=width), dtype, padded=padded)


def test_bfloat16_is_summed_in_float32(written: Any) -> None:
    """Against the same in float32: closer than one that rounds every term."""
    torch.manual_seed(0)
    cell = written(by_softmax, rows).to(torch.bfloat16)
    x = torch.randn(4, 20, 3).bfloat16()
    with torch.no_grad():
        found, expected = (scan(cell, x, engine=engine)[0].float() for engine in ("compiled", "reference"))
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("size", [16, 33])
def test_large_sums_stand_side_by_side(size: int, written: Any, agree: Any) -> None:
    """A weighted sum of rows, whose elements follow one another in memory; and one over the last axis."""

    def step(c: Any, x: Tensor, m: Tensor) -> Any:
        key = (x @ c.w.T).tanh()
        read = (m * key[:, :, None]).sum(1)
        return read[:, :H] + (m * m).sum(2), 0.9 * torch.tanh(m + key[:, :, None] * read[:, None])

    agree(written(step, lambda c, rows: c.u.new_zeros(rows, H, size)))
    cell = written(step, lambda c, rows: c.u.new_zeros(rows, H, size))
    x = torch.randn(2, 16, 3, requires_grad=True)
    kernel = kernels.kernel_of(Request(cell, x, cell.initial_state(2)))[0]
    assert f"total0[{size}]" in kernel.source


MIXED: dict[str, Callable[..., Tensor]] = {
    "rows of other rows": lambda c, x, m: m.transpose(0, 1).reshape(-1, H) @ c.u,
    "rows as the inner axis": lambda c, x, m: m.permute(1, 0, 2).reshape(-1, H),
    "softmax over all rows": lambda c, x, m: m.reshape(-1, H).softmax(0),
    "sorted rows": lambda c, x, m: m.sort(1).values,
}


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.filterwarnings("ignore:.*as a Python loop")
def test_rows_that_see_each_other_are_refused(name: str, written: Any) -> None:
    def step(c: Any, x: Tensor, m: Tensor) -> Any:
        return (x @ c.w.T), torch.tanh(m + MIXED[name](c, x, m).view(-1, N, H))

    cell = written(step, rows)
    reason = compiled.prepare(Request(cell, torch.randn(4, 20, 3), cell.initial_state(4)))
    assert reason is not None
    assert "mixes" in reason or "sort" in reason
