"""What a trace of a cell depends on besides its inputs: when any of it has changed, the trace is another."""

from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor, nn

from rnnkit.cells.base import Cell

INTERNAL = frozenset({*vars(nn.Module()), "forward"})
"""What every module has: parameters, hooks and a forward, which are looked at by themselves."""
NUMBERS = (bool, int, float, complex, str, bytes, type(None), torch.dtype)


def condition(cell: Cell[Any], weights: dict[str, Tensor], device: torch.device) -> Hashable:
    """The modules inside with their modes and options, the weights' shapes and dtypes, and torch's own settings."""
    modules = tuple((id(type(module)), module.training, *options(vars(module))) for module in cell.modules())
    tensors = tuple((tensor.dtype, tensor.shape, tensor.requires_grad) for tensor in weights.values())
    autocast = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
    return modules, tensors, autocast, torch.get_default_dtype(), device


def options(attributes: dict[str, Any]) -> list[Hashable]:
    """Of a module's attributes, those that its class has given it."""
    return [(name, _frozen(value, 4)) for name, value in attributes.items() if name not in INTERNAL]


def _frozen(value: Any, depth: int) -> Hashable:
    """A value that can be compared later: numbers as they are, collections and plain objects by what they hold."""
    if isinstance(value, NUMBERS):
        return type(value), value
    if depth == 0 or isinstance(value, (Tensor, nn.Module)):
        return id(value)
    if isinstance(value, dict):
        return tuple((str(key), _frozen(held, depth - 1)) for key, held in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value), tuple(_frozen(held, depth - 1) for held in value)
    held = getattr(value, "__dict__", None)
    return (id(value), _frozen(held, depth - 1)) if type(held) is dict and held else id(value)
