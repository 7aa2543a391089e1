"""The recurrence h_t = a_t h_{t-1} + b_t over time, with its gradients, on any device."""

import functools
import importlib.util
import warnings
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from rnnkit.engines import toolchain
from rnnkit.engines.kernels import linear_scan_cpp, linear_scan_torch
from rnnkit.engines.recorded import more_than_numbers


def linear_scan(
    a: Tensor, b_BTH: Tensor, h_BH: Tensor, *, fresh_BT: Tensor | None = None, reverse: bool = False
) -> tuple[Tensor, Tensor]:
    r"""Return all states of a linear recurrence [B, T, H], and the last one [B, H].

    .. math::
        h_t = a_t \odot h_{t-1} + b_t, \qquad
        \bar b_t = \bar h_t + a_{t+1}^* \odot \bar b_{t+1}, \quad \bar a_t = \bar b_t \odot h_{t-1}^*

    There is no division and no logarithm: a may be zero, negative, complex, or greater than one. Memory grows with T
    like that of the result.

    Args:
        a: coefficients of the shape of `b_BTH`, or [H] if they are constant in time.
        b_BTH: the inputs.
        h_BH: the initial state.
        fresh_BT: true where the previous state is replaced by zero.
        reverse: run from the last step to the first.

    The three tensors are real or complex, of one dtype, float32 or float64.

    >>> a_H, b_BTH = torch.tensor([0.0, 1.0, 2.0]), torch.ones(1, 4, 3)
    >>> linear_scan(a_H, b_BTH, torch.zeros(1, 3))[1]
    tensor([[ 1.,  4., 15.]])
    """
    a = a[None, None] if a.dim() == 1 else a.expand_as(b_BTH)
    states: tuple[Tensor, Tensor] = _LinearScan.apply(a, b_BTH, h_BH, fresh_BT, reverse, _kernels(b_BTH.device.type))
    return states


class _LinearScan(torch.autograd.Function):
    """One graph node for the whole sequence; `kernels` is a module of `rnnkit.engines.kernels`."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, h0: Tensor, fresh: Tensor | None, reverse: bool, kernels: ModuleType
    ) -> tuple[Tensor, Tensor]:
        h = kernels.forward(a, b, h0, fresh, reverse)
        ctx.save_for_backward(a, h, h0, fresh)
        ctx.reverse, ctx.kernels = reverse, kernels
        ctx.set_materialize_grads(False)
        return h, h[:, 0 if reverse else -1].clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor | None, last: Tensor | None) -> tuple[Tensor | None, ...]:
        a, h, h0, fresh = ctx.saved_tensors
        # one broadcast row of zeros stands for missing gradients
        g = torch.zeros_like(h[:1, :1]).expand_as(h) if g is None else g
        last = torch.zeros_like(h0) if last is None else last
        if more_than_numbers((g, last)):
            # h is an output of this node: a graph recorded through it leads back to a, b and h0
            grads = linear_scan_torch.backward(a, h, h0, fresh, g, last, ctx.reverse, by_steps)
        else:
            grads = ctx.kernels.backward(a, h, h0, fresh, g, last, ctx.reverse)
        return *grads, None, None, None


def by_steps(a: Tensor, b: Tensor, h0: Tensor, fresh: Tensor | None, reverse: bool) -> Tensor:
    """Return all states [B, T, H], by operations that torch can differentiate and vmap."""
    a, T = a.expand_as(b), b.shape[1]
    states: list[Tensor] = []
    for t in reversed(range(T)) if reverse else range(T):
        kept = a[:, t] * h0
        h0 = b[:, t] + (kept if fresh is None else kept.masked_fill(fresh[:, t, None], 0))
        states.append(h0)
    return torch.stack(states[::-1] if reverse else states, dim=1)


@functools.cache
def _kernels(device: str) -> ModuleType:
    """Return the fastest kernels that this machine can run."""
    if device == "cpu" and toolchain.missing() is None:
        try:
            linear_scan_cpp.library()
        except toolchain.CompilerError as error:
            warnings.warn(f"linear recurrences run in plain torch, several times slower: {error}", stacklevel=2)
        else:
            return linear_scan_cpp
    if device == "cuda" and importlib.util.find_spec("triton") is not None:
        return importlib.import_module("rnnkit.engines.kernels.linear_scan_triton")
    return linear_scan_torch
