"""A step's pointwise work in as few GPU kernels as Inductor makes of it."""

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from rnnkit.engines.compiled.trace.graphs import first_line
from rnnkit.engines.compiled.trace.once import warn_once

FUSED_ON = {"cuda"}
OPTIONS: dict[str, Any] = {"triton.cudagraphs": False}
"""The loop is captured as a whole; a graph for each step would be one within another."""


def fused(step: fx.GraphModule, views: list[Tensor]) -> Callable[..., Any]:
    """The step as one compiled function of such views; the step as it is where that cannot be, with one warning."""
    device = views[0].device
    if device.type not in FUSED_ON:
        return step
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        warn_once("steps run operation by operation, because Triton is not installed; torch's CUDA wheels bring it")
        return step
    # Memory of their own: slots of one buffer would be taken for views of each other.
    examples: list[Any] = [_like(view) for view in views]
    try:
        from rnnkit.compat.torch import inductor_compile

        with warnings.catch_warnings(), torch.no_grad():
            # What Inductor advises, about TF32 for one, is the caller's affair.
            warnings.simplefilter("ignore")
            compiled: Callable[..., Any] = inductor_compile(step, examples, OPTIONS)
            compiled(*examples)
    except Exception as error:
        warn_once(f"steps run operation by operation, because Inductor failed: {first_line(error)}")
        return step
    return compiled


def _like(view: Tensor) -> Tensor:
    """Zeros with the strides of a view."""
    return torch.empty_strided(view.shape, view.stride(), dtype=view.dtype, device=view.device).zero_()
