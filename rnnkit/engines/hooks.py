"""Detection of hooks and transforms that need the single steps of a cell, which engines do not run one by one."""

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
    """Return the reason why every step of a cell must be a separate call; None if there is none.

    >>> from rnnkit.cells import ElmanCell
    >>> cell = ElmanCell(3, 5)
    >>> watched(cell) is None
    True
    >>> handle = cell.register_forward_hook(print)
    >>> watched(cell)
    'a hook or a replaced forward of ElmanCell needs every step, but this engine runs all steps at once'
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
                f"a hook or a replaced forward of {type(module).__name__} needs every step, "
                "but this engine runs all steps at once"
            )
    return None


def transformed(tensors: Iterable[Tensor | None]) -> str | None:
    """Return the reason why these tensors are not plain memory, which kernels need; None if they are.

    >>> transformed([torch.zeros(3), torch.nn.Parameter(torch.zeros(3))]) is None
    True
    """
    if are_transforms_active():
        return "a torch.func transform needs every operation"
    if torch.compiler.is_compiling():
        return None  # all tensors are fake tensors then
    if is_forward_mode():
        return "forward-mode differentiation needs every operation of a step"
    for tensor in tensors:
        if tensor is None:
            continue
        if type(tensor) not in (Tensor, Parameter) or tensor.is_neg():
            return f"x, the state or a weight is a {type(tensor).__name__}, which only torch operations support"
    return None
