"""Composite operations in terms of the few that the compiler knows."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions, get_decompositions

aten = torch.ops.aten


@functools.cache
def decompositions() -> dict[Any, Callable[..., Any]]:
    """The table for a trace."""
    table: dict[Any, Callable[..., Any]] = dict(core_aten_decompositions())
    more = [
        aten.native_layer_norm, aten.native_dropout, aten._softmax, aten._log_softmax,
        aten.leaky_relu, aten.elu, aten.hardtanh, aten.gelu, aten.logit, aten.hardswish, aten.hardsigmoid, aten.softplus,
        aten.silu, aten.mish, aten.glu, aten.addcmul, aten.addcdiv, aten.lerp, aten.rsub, aten.logaddexp, aten.logsumexp,
        aten.native_layer_norm_backward, aten.native_dropout_backward,
        aten.linalg_vector_norm, aten.norm, aten.square, aten.celu, aten.selu, aten.threshold,
    ]  # fmt: skip
    table.update(get_decompositions(more))
    table[aten.var_mean.correction] = _var_mean
    table[aten.native_layer_norm.default] = _layer_norm
    table[aten.addmm.default] = _addmm
    table[aten.baddbmm.default] = lambda c, a, b, *, beta=1, alpha=1: _weighed(a.bmm(b), alpha) + _weighed(c, beta)
    table[aten.select_backward.default] = _select_backward
    # Left whole: a sum of them is a concatenation, which `graphs.simplify` finds.
    table.pop(aten.slice_backward.default, None)
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
    """In the dtype of x or in float32, as torch computes it."""
    axes = list(range(x.dim() - len(shape), x.dim()))
    wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    mean = wide.sum(axes, keepdim=True) / _numel(shape)
    centred = wide - mean
    deviation = torch.rsqrt((centred * centred).sum(axes, keepdim=True) / _numel(shape) + eps)
    y = centred * deviation
    if weight is not None:
        y = y * weight
    if bias is not None:
        y = y + bias
    return y.to(x.dtype), mean, deviation


def _addmm(c: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    return _weighed(a.mm(b), alpha) + _weighed(c, beta)


def _weighed(x: Tensor, weight: float) -> Tensor:
    return x if weight == 1 else x * weight


def _select_backward(grad: Tensor, sizes: list[int], dim: int, index: int) -> Tensor:
    index %= sizes[dim]
    return aten.slice_backward(grad.unsqueeze(dim), sizes, dim, index, index + 1, 1)


def _numel(shape: list[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
