"""A trial step before the trace: a trace accepts code that torch rejects, and detects only effects on tensors."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnkit.cells.state import map_state, state_leaves
from rnnkit.compat.torch import version_of
from rnnkit.engines.compiled.trace.decisions import check_decisions
from rnnkit.engines.compiled.trace.given import Given
from rnnkit.engines.compiled.trace.graphs import Untraceable, first_line
from rnnkit.engines.compiled.trace.step import structured
from rnnkit.engines.compiled.trace.twin import Twin

FEW = 2
"""With one row, normalization over the batch would fail; the trace rejects it with a better reason."""


class Unsteppable(Exception):  # noqa: N818
    """Raised if a single step fails, with the reason."""


def try_step(
    twin: Twin, given: Given, state: Any, weights: dict[str, Tensor], *, backward: bool
) -> tuple[torch.dtype, Any]:
    """Run a step of few rows twice, with its gradients; return the dtype of the output, and a state in stable dtypes.

    Raises:
        Unsteppable: if torch rejects the step, for example because of its dtypes.
        Untraceable: if the step depends on more than its arguments, or its state does not keep its dtype.
    """
    device = next(iter(state_leaves(state))).device
    before = map_state(_few_rows, state)
    x, context = (
        [few.requires_grad_(backward and leaf.requires_grad) for few, leaf in zip(found, leaves, strict=True)]
        for found, leaves in zip(_few_of(given), (given.x_leaves, given.row_context), strict=True)
    )
    asked = {name: backward and tensor.requires_grad for name, tensor in weights.items()}
    copies = {name: tensor.detach().clone().requires_grad_(asked[name]) for name, tensor in weights.items()}
    arguments = [*x, *context, *state_leaves(before), *copies.values()]

    def step() -> list[Tensor]:
        y_BO, after = twin(copies, x, before, context)
        results = [y_BO, *state_leaves(after)]
        graph = [result for result in results if result.requires_grad]
        sources = [tensor for tensor in arguments if tensor.requires_grad]
        if graph and sources:
            torch.autograd.grad(graph, sources, [torch.ones_like(result) for result in graph], allow_unused=True)
        return [result.detach() for result in results]

    versions = _versions(arguments)
    # without the hooks of a checkpoint around the scan, whose backward pass would run this code again
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)
    with hooks, torch.autograd.set_detect_anomaly(False), torch.set_grad_enabled(backward), twin.unchanged():
        first, second = _with_the_same_randomness(step, device)
    if versions != _versions(arguments):
        raise Untraceable("its step modifies a weight, a buffer, its input or its state")
    if not all(torch.equal(one.nan_to_num(), two.nan_to_num()) for one, two in zip(first, second, strict=True)):
        raise Untraceable("its step depends on more than its arguments: two calls give different results")
    narrows = torch.is_autocast_enabled(device.type)
    for old, new in zip(state_leaves(before), first[1:], strict=False):
        widest = torch.promote_types(old.dtype, new.dtype)
        if widest != old.dtype:
            # the loop does the same from the second step on
            wide = map_state(lambda leaf, as_leaf: leaf.to(as_leaf.dtype), state, structured(state, first[1:]))
            return try_step(twin, given, wide, weights, backward=backward)
        if old.dtype != new.dtype and not narrows:
            raise Untraceable(f"its state enters a step as {old.dtype} and leaves it as {new.dtype}")
    return first[0].dtype, state


def try_ways(twin: Twin, given: Given, state: Any, weights: dict[str, Tensor]) -> None:
    """Run a step in other ways, to detect what a trace cannot; raise `Untraceable` as `check_decisions` does."""
    before = map_state(_few_rows, state)
    device = next(iter(state_leaves(state))).device
    copies = {name: tensor.detach() for name, tensor in weights.items()}
    x, context = _few_of(given)
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)
    with hooks, torch.autograd.set_detect_anomaly(False), twin.unchanged():
        check_decisions(
            lambda tensors, state: twin(copies, tensors[: len(x)], state, tensors[len(x) :]),
            [*x, *context],
            before,
            device,
        )


def _few_of(given: Given) -> tuple[list[Tensor], list[Tensor]]:
    """Return a few rows of an input, of ones half as large, and of the context."""
    x = [_few_rows(leaf) for leaf in given.x_leaves]
    x = [torch.full_like(leaf, 0.5) if leaf.is_floating_point() else leaf for leaf in x]
    return x, [_few_rows(leaf) for leaf in given.row_context]


def _few_rows(leaf: Tensor) -> Tensor:
    few = leaf.detach()[:1] if leaf.shape[0] else leaf.new_zeros(1, *leaf.shape[1:])
    return few.repeat(FEW, *[1] * (leaf.dim() - 1))


def _versions(tensors: list[Tensor]) -> list[int]:
    """Return the version counters of tensors; inference tensors have none."""
    return [0 if tensor.is_inference() else version_of(tensor) for tensor in tensors]


def _with_the_same_randomness(step: Callable[[], list[Tensor]], device: torch.device) -> list[list[Tensor]]:
    """Return the results of two steps with the same random numbers, and restore the generators.

    Raises:
        Untraceable: if a step draws from other generators than torch's: a trace would make constants of them.
    """
    ours = torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    others = random.getstate(), np.random.get_state()
    found = []
    try:
        for _ in range(2):
            found.append(step())
            torch.set_rng_state(ours[0])
            if ours[1] is not None:
                torch.cuda.set_rng_state(ours[1], device)
        if repr((random.getstate(), np.random.get_state())) != repr(others):
            raise Untraceable("its step draws random numbers from another source than torch")
    except Untraceable:
        raise
    except Exception as error:
        torch.set_rng_state(ours[0])
        raise Unsteppable(f"a step fails ({first_line(error)})") from error
    finally:
        random.setstate(others[0])
        np.random.set_state(others[1])
    return found
