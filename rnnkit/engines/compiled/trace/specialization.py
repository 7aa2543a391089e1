"""The specialization key of a trace: everything that it depends on besides its inputs."""

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.compat.torch import len_torch_function_stack
from rnnkit.engines.compiled.trace.frozen import contents
from rnnkit.engines.compiled.trace.readings import readings


def condition(cell: Cell[Any], weights: dict[str, Tensor], device: torch.device) -> Hashable:
    """Return modes and options of modules, the outside values they read, shapes and dtypes of weights, torch's
    settings.
    """
    modules = tuple((type(module), module.training, *contents(vars(module)).items()) for module in cell.modules())
    tensors = tuple((tensor.dtype, tensor.shape, tensor.requires_grad) for tensor in weights.values())
    autocast = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
    # a default device is a mode that functions of torch go through
    default = torch.get_default_device() if len_torch_function_stack() else None
    settings = (autocast, torch.get_default_dtype(), device, default)
    return modules, readings(cell).key, tensors, settings


def structure(cell: Cell[Any], weights: dict[str, Tensor]) -> Hashable:
    """Return the names of modules and weights, by which cells differ that are otherwise in the same condition."""
    return tuple(name for name, _ in cell.named_modules()), tuple(weights)
