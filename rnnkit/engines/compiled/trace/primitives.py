"""Decompositions of composite operations into those that the compiler supports."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rnnkit.compat.torch import core_aten_decompositions, get_decompositions

aten = torch.ops.aten


@functools.cache
def decompositions() -> dict[Any, Callable[..., Any]]:
    """Return the decomposition table of a trace."""
    table: dict[Any, Callable[..., Any]] = dict(core_aten_decompositions())
    more = [
        aten.native_layer_norm, aten.native_dropout, aten._softmax, aten._log_softmax,
        aten.leaky_relu, aten.elu, aten.hardtanh, aten.gelu, aten.logit, aten.hardswish, aten.hardsigmoid,
        aten.softplus, aten.silu, aten.mish, aten.glu, aten.addcmul, aten.addcdiv, aten.lerp, aten.rsub,
        aten.logaddexp, aten.logsumexp,
        aten.native_layer_norm_backward, aten.native_dropout_backward,
        aten.linalg_vector_norm, aten.norm, aten.square, aten.celu, aten.selu, aten.threshold,
    ]  # fmt: skip
    table.update(get_decompositions(more))
    table[aten.var_mean.correction] = _var_mean
    table[aten.native_layer_norm.default] = _layer_norm
    table[aten.addmm.default] = _addmm
    table[aten.baddbmm.default] = lambda c, a, b, *, beta=1, alpha=1: _weighed(a.bmm(b), alpha) + _weighed(c, beta)
    table[aten.bmm.default] = _bmm
    table[aten.any.dim] = table[aten.any.dims] = lambda x, dim, keepdim=False: x.float().amax(dim, keepdim) > 0
    table[aten.select_backward.default] = _select_backward
    table[aten.slice_backward.default] = _slice_backward
    table[aten.slice_scatter.default] = _slice_scatter
    table[aten.select_scatter.default] = _select_scatter
    table[aten.roll.default] = _roll
    table[aten.constant_pad_nd.default] = _pad
    table[aten.repeat.default] = _repeat
    table[aten.var.correction] = lambda x, dim=None, **options: _var_mean(x, dim, **options)[0]
    return table


def _var_mean(
    x: Tensor, dim: Any = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    axes = list(range(x.dim())) if dim is None else [d % x.dim() for d in dim]
    count = 1
    for d in axes:
        count *= x.shape[d]
    mean = x.sum(axes, keepdim=True) / count
    variance = (x - mean).square().sum(axes, keepdim=True) / max(0, count - (1 if correction is None else correction))
    if keepdim:
        return variance, mean
    shape = [size for d, size in enumerate(x.shape) if d not in axes]
    return variance.view(shape), mean.view(shape)


def _layer_norm(
    x: Tensor, shape: list[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute in the dtype of x or in float32, as torch does."""
    axes = list(range(x.dim() - len(shape), x.dim()))
    wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    mean = wide.sum(axes, keepdim=True) / _numel(shape)
    centered = wide - mean
    deviation = torch.rsqrt((centered * centered).sum(axes, keepdim=True) / _numel(shape) + eps)
    y = centered * deviation
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    return y.to(x.dtype), mean, deviation


def _addmm(c: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    return _weighed(a.mm(b), alpha) + _weighed(c, beta)


def _bmm(a: Tensor, b: Tensor) -> Any:
    # an outer product is pointwise
    return a * b if a.shape[2] == 1 else NotImplemented


def _weighed(x: Tensor, weight: float) -> Tensor:
    return x if weight == 1 else x * weight


def _select_backward(grad: Tensor, sizes: list[int], dim: int, index: int) -> Tensor:
    index %= sizes[dim]
    padded: Tensor = aten.slice_backward(grad.unsqueeze(dim), sizes, dim, index, index + 1, 1)
    return padded


def _numel(shape: list[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _slice_backward(grad: Tensor, sizes: list[int], dim: int, start: int, end: int, step: int) -> Any:
    # not decomposed: a sum of them is a concatenation, which `simplify` detects
    if step == 1:
        return NotImplemented
    dim %= len(sizes)
    start = max(start + sizes[dim], 0) if start < 0 else start
    # each element followed by step - 1 zeros, as one axis; the last zeros may be outside
    spread = torch.cat([grad.unsqueeze(dim + 1), *[torch.zeros_like(grad).unsqueeze(dim + 1)] * (step - 1)], dim + 1)
    spread = spread.flatten(dim, dim + 1)
    width = min(spread.shape[dim], sizes[dim] - start)
    return aten.slice_backward(spread.narrow(dim, 0, width), sizes, dim, start, start + width, 1)


def _slice_scatter(
    whole: Tensor, part: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    if step != 1:
        return NotImplemented
    size = whole.shape[dim]
    start, end = (min(max(at + size if at < 0 else at, 0), size) for at in (start or 0, size if end is None else end))
    if part.shape[dim] == size:
        return part.clone()
    pieces = [whole.narrow(dim, 0, start), part.expand_as(whole.narrow(dim, start, end - start))]
    return torch.cat([p for p in (*pieces, whole.narrow(dim, end, size - end)) if p.shape[dim]], dim)


def _select_scatter(whole: Tensor, part: Tensor, dim: int, index: int) -> Any:
    index %= whole.shape[dim]
    return _slice_scatter(whole, part.unsqueeze(dim), dim, index, index + 1)


def _roll(x: Tensor, shifts: list[int], dims: list[int]) -> Any:
    if not dims:
        return NotImplemented
    for shift, dim in zip(shifts, dims, strict=True):
        size = x.shape[dim]
        cut = -shift % size
        x = torch.cat([x.narrow(dim, cut, size - cut), x.narrow(dim, 0, cut)], dim) if cut else x.clone()
    return x


def _pad(x: Tensor, pad: list[int], value: float = 0) -> Tensor:
    for n in range(len(pad) // 2):
        dim, (left, right) = x.dim() - 1 - n, pad[2 * n : 2 * n + 2]
        x = x.narrow(dim, max(0, -left), x.shape[dim] - max(0, -left) - max(0, -right))
        sizes = [max(0, left), max(0, right)]
        before, after = (x.new_full([*x.shape[:dim], size, *x.shape[dim + 1 :]], value) for size in sizes)
        x = torch.cat([part for part in (before, x, after) if part.shape[dim]], dim)
    return x


def _repeat(x: Tensor, times: list[int]) -> Tensor:
    x = x.view([1] * (len(times) - x.dim()) + list(x.shape))
    for dim, count in enumerate(times):
        x = torch.cat([x] * count, dim) if count != 1 else x
    return x.clone()
