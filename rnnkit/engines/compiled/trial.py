"""One step for real, before any is traced: a trace forgives what torch refuses, and sees nothing but tensors."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rnnkit.cells.state import map_state, state_leaves
from rnnkit.engines.compiled.graphs import Untraceable, first_line
from rnnkit.engines.compiled.twin import Twin

LANES = 2
"""One would not do for a normalization over lanes, which a trace refuses with a better reason."""


class Unsteppable(Exception):  # noqa: N818
    """The reason why not even one step can be taken."""


def try_step(
    twin: Twin, dtype: torch.dtype, state: Any, carry: Any, weights: dict[str, Tensor], *, backward: bool, x_grad: bool
) -> None:
    """Take a step of few lanes twice, with its gradients.

    * `dtype`: of x; `carry`: the state in the dtype that it is to keep.

    Raises `Unsteppable` where torch refuses the step, by its dtypes for one, `Untraceable` where it depends on more
    than its arguments or changes the dtype of the state.
    """
    device = next(iter(state_leaves(state))).device
    before = map_state(_few_lanes, state)
    x_BI = torch.full((LANES, twin.cell.input_size), 0.5).to(device, dtype)
    given = {
        name: tensor.detach().requires_grad_(backward and tensor.requires_grad) for name, tensor in weights.items()
    }
    x_BI.requires_grad_(x_grad)

    def step() -> list[Tensor]:
        y_BO, after = twin(given, x_BI, before)
        results = [y_BO, *state_leaves(after)]
        graph = [result for result in results if result.requires_grad]
        sources = [tensor for tensor in (x_BI, *given.values()) if tensor.requires_grad]
        if graph and sources:
            torch.autograd.grad(graph, sources, [torch.ones_like(result) for result in graph], allow_unused=True)
        return [result.detach() for result in results]

    with torch.autograd.set_detect_anomaly(False), torch.set_grad_enabled(backward), _same_randomness(device) as again:
        try:
            first = step()
            again()
            second = step()
        except Exception as error:
            raise Unsteppable(f"a step of it fails ({first_line(error)})") from error
    if not all(torch.equal(one.nan_to_num(), two.nan_to_num()) for one, two in zip(first, second, strict=True)):
        raise Untraceable("its step depends on more than its arguments: taken twice, it gives different numbers")
    for old, new in zip(state_leaves(carry), first[1:], strict=False):
        narrowed = torch.is_autocast_enabled(device.type) and torch.promote_types(old.dtype, new.dtype) == old.dtype
        if old.dtype != new.dtype and not narrowed:
            raise Untraceable(f"its state enters a step as {old.dtype} and leaves it as {new.dtype}")


def _few_lanes(leaf: Tensor) -> Tensor:
    few = leaf.detach()[:1] if leaf.shape[0] else leaf.new_zeros(1, *leaf.shape[1:])
    return few.repeat(LANES, *[1] * (leaf.dim() - 1))


@contextmanager
def _same_randomness(device: torch.device) -> Iterator[Callable[[], None]]:
    """Random numbers as if none had been drawn, at the end and at each call of what is given.

    Raises `Untraceable` where any were drawn that are not torch's: a trace would take them for constants.
    """
    kept = torch.get_rng_state(), random.getstate(), np.random.get_state()
    on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def again() -> None:
        torch.set_rng_state(kept[0])
        if on_device is not None:
            torch.cuda.set_rng_state(on_device, device)

    try:
        yield again
        if random.getstate() != kept[1] or str(np.random.get_state()) != str(kept[2]):
            raise Untraceable("its step draws random numbers that are not torch's")
    finally:
        again()
        random.setstate(kept[1])
        np.random.set_state(kept[2])
