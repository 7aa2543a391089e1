"""Fusion of a step's pointwise operations into few GPU kernels, by Inductor."""

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
"""The loop is captured as a whole; a graph for each step would be nested in it."""


def fused(step: fx.GraphModule, views: list[Tensor]) -> Callable[..., Any]:
    """Return the step as one compiled function of such views; if that fails, warn once and return the step itself."""
    device = views[0].device
    if device.type not in FUSED_ON:
        return step
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        warn_once("steps run operation by operation, because Triton is not installed; torch's CUDA wheels bring it")
        return step
    # separate memory: slots of one buffer would be treated as views of each other
    examples: list[Any] = [_like(view) for view in views]
    try:
        from rnnkit.compat.torch import inductor_compile

        with warnings.catch_warnings(), torch.no_grad():
            # Inductor's advice, for example about TF32, is for the caller to follow
            warnings.simplefilter("ignore")
            compiled: Callable[..., Any] = inductor_compile(step, examples, OPTIONS)
            compiled(*examples)
    except Exception as error:
        warn_once(f"steps run operation by operation, because Inductor failed: {first_line(error)}")
        return step
    return compiled


def _like(view: Tensor) -> Tensor:
    """Return zeros with the strides of a view."""
    return torch.empty_strided(view.shape, view.stride(), dtype=view.dtype, device=view.device).zero_()
