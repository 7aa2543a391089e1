"""Who watches the single steps of a cell, and would miss them in an engine that takes all steps at once."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils.parametrize import ParametrizationList

from rnnkit.cells.base import Cell
from rnnkit.compat.torch import (
    are_transforms_active,
    backward_hooks,
    backward_pre_hooks,
    forward_hooks,
    forward_pre_hooks,
    has_any_global_hook,
    is_forward_mode,
)


def watched(cell: Cell[Any]) -> str | None:
    """The reason why every step of a cell must be a call of its own; None where there is none.

    >>> from rnnkit.cells import ElmanCell
    >>> cell = ElmanCell(3, 5)
    >>> watched(cell) is None
    True
    >>> handle = cell.register_forward_hook(print)
    >>> watched(cell)
    'a hook or a replaced forward of ElmanCell watches every step, and this engine takes all steps at once'
    """
    for module in cell.modules():
        if (
            ("forward" in vars(module) and not isinstance(module, ParametrizationList))
            or forward_hooks(module)
            or forward_pre_hooks(module)
            or backward_hooks(module)
            or backward_pre_hooks(module)
            or has_any_global_hook()
        ):
            return (
                f"a hook or a replaced forward of {type(module).__name__} watches every step, "
                "and this engine takes all steps at once"
            )
    return None


def transformed(tensors: Iterable[Tensor | None]) -> str | None:
    """The reason why these tensors are more than numbers in memory, which is all that a kernel sees; None if they are.

    >>> transformed([torch.zeros(3), torch.nn.Parameter(torch.zeros(3))]) is None
    True
    """
    if are_transforms_active():
        return "a torch.func transform looks into every step"
    if torch.compiler.is_compiling():
        return None  # all of them are stand-ins by then, whatever they look like
    if is_forward_mode():
        return "forward-mode differentiation follows every operation of a step"
    for tensor in tensors:
        if tensor is None:
            continue
        if type(tensor) not in (Tensor, Parameter) or tensor.is_neg():
            return f"a {type(tensor).__name__} is among x, the state and the weights, which only torch can read"
    return None
