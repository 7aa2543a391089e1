"""Detection of steps that depend on what a trace fixes: batch size, input layout, recording of gradients."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.state import map_state, state_leaves
from rnnkit.engines.compiled.trace.graphs import Untraceable

RTOL, ATOL = 0.05, 1e-3
"""Sizes and layouts change the last digits of a product; a different branch changes more."""


def check_decisions(
    step: Callable[[list[Tensor], Any], Any], given: list[Tensor], state: Any, device: torch.device
) -> None:
    """Run a step of equal rows in several ways that should give the same result for a row.

    `given` are the values that it reads besides the state, each [B, ...], the input first. Steps that draw random
    numbers are not checked, nor are ways that torch rejects.

    Raises:
        Untraceable: if the results differ.
    """
    random = torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    usual: list[Tensor] | None = None
    try:
        for what, tensors, before, grad in _ways([leaf.detach() for leaf in given], map_state(Tensor.detach, state)):
            with suppress(RuntimeError, ValueError), torch.set_grad_enabled(grad):
                y_BO, after = step(tensors, before)
                found = [leaf.detach()[:1].nan_to_num() for leaf in (y_BO, *state_leaves(after))]
                if not torch.equal(torch.get_rng_state(), random[0]):
                    return
                usual = usual or found
                for one, other in zip(usual, found, strict=True):
                    if one.shape != other.shape or not torch.allclose(one, other.to(one.dtype), RTOL, ATOL):
                        raise _Decides(f"its step depends on {what}")
    except _Decides as reason:
        raise Untraceable(str(reason)) from None
    finally:
        torch.set_rng_state(random[0])
        if random[1] is not None:
            torch.cuda.set_rng_state(random[1], device)


def _ways(given: list[Tensor], state: Any) -> Iterator[tuple[str, list[Tensor], Any, bool]]:
    yield "nothing", given, state, False
    yield "whether gradients are recorded", given, state, True
    yield "whether its state has a gradient", given, map_state(_with_gradient, state), True
    turned = [leaf.movedim(0, -1).contiguous().movedim(-1, 0) for leaf in given]
    yield "the layout of its input", turned, state, False
    for rows in (1, 3, 5, 17, 64):

        def times(leaf: Tensor, rows: int = rows) -> Tensor:
            return leaf[:1].expand(rows, *leaf.shape[1:]).contiguous()

        yield "the batch size", [times(leaf) for leaf in given], map_state(times, state), False


def _with_gradient(leaf: Tensor) -> Tensor:
    return leaf.clone().requires_grad_() if leaf.is_floating_point() or leaf.is_complex() else leaf


class _Decides(Exception):  # noqa: N818
    pass
