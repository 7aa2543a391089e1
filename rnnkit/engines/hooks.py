"""Who watches the single steps of a cell, and would miss them in an engine that takes all steps at once."""

from typing import Any

from torch.nn.modules.module import _has_any_global_hook
from torch.nn.utils.parametrize import ParametrizationList

from rnnkit.cells.base import Cell


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
            or module._forward_hooks
            or module._forward_pre_hooks
            or module._backward_hooks
            or module._backward_pre_hooks
            or _has_any_global_hook()
        ):
            return (
                f"a hook or a replaced forward of {type(module).__name__} watches every step, "
                "and this engine takes all steps at once"
            )
    return None
