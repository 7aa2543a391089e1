"""Whether a step decides by what a trace fixes: the batch size, its input's layout, whether gradients are recorded."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.state import map_state, state_leaves
from rnnkit.engines.compiled.graphs import Untraceable

RTOL, ATOL = 0.05, 1e-3
"""Sizes and layouts change the last digits of a product; a decision changes more."""


def check_decisions(step: Callable[[Tensor, Any], Any], x_BI: Tensor, state: Any, device: torch.device) -> None:
    """Take a step of equal lanes in several ways, in which one lane should come out the same.

    A step that draws random numbers is not looked at, and neither is a way in which torch refuses it.

    Raises `Untraceable` where the numbers differ.
    """
    before = torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    usual: list[Tensor] | None = None
    try:
        for what, x, given, grad in _ways(x_BI.detach(), map_state(Tensor.detach, state)):
            with suppress(RuntimeError, ValueError), torch.set_grad_enabled(grad):
                y_BO, after = step(x, given)
                found = [leaf.detach()[:1].nan_to_num() for leaf in (y_BO, *state_leaves(after))]
                if not torch.equal(torch.get_rng_state(), before[0]):
                    return
                usual = usual or found
                for one, other in zip(usual, found, strict=True):
                    if one.shape != other.shape or not torch.allclose(one, other.to(one.dtype), RTOL, ATOL):
                        raise _Decides(f"its step decides by {what}")
    except _Decides as reason:
        raise Untraceable(str(reason)) from None
    finally:
        torch.set_rng_state(before[0])
        if before[1] is not None:
            torch.cuda.set_rng_state(before[1], device)


def _ways(x_BI: Tensor, state: Any) -> Iterator[tuple[str, Tensor, Any, bool]]:
    yield "nothing", x_BI, state, False
    yield "whether gradients are recorded", x_BI, state, True
    yield "whether its state has a gradient", x_BI, map_state(_with_gradient, state), True
    yield "the layout of its input", x_BI.t().contiguous().t(), state, False
    for lanes in (1, 3, 5, 17, 64):
        one = map_state(lambda leaf, lanes=lanes: leaf[:1].expand(lanes, *leaf.shape[1:]).contiguous(), state)  # type: ignore[misc]
        yield "the batch size", x_BI[:1].repeat(lanes, 1), one, False


def _with_gradient(leaf: Tensor) -> Tensor:
    return leaf.clone().requires_grad_() if leaf.is_floating_point() or leaf.is_complex() else leaf


class _Decides(Exception):  # noqa: N818
    pass
