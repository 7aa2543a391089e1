"""The form of a cell that is put to work: in evaluation mode, without wrappers that act in training only."""

import copy
from typing import Any

from rnnkit.cells.base import Cell
from rnnkit.cells.wrapper import Wrapper


def in_evaluation(cell: Cell[Any]) -> Cell[Any]:
    """Return a copy of a cell in evaluation mode that shares its parameters and buffers.

    Wrappers that do nothing in evaluation are left out, also inside other cells, and with them their part of the state.
    The mode of the cell itself does not change.

    >>> from rnnkit.cells import LSTMCell, Residual, VariationalDropout
    >>> cell = Residual(VariationalDropout(LSTMCell(5, 5), state=0.5))
    >>> used = in_evaluation(cell)
    >>> used, used.cell.weight_hh is cell.cell.cell.weight_hh, cell.training
    (Residual(
      5, 5
      (cell): LSTMCell(5, 5)
    ), True, True)
    """
    shared: dict[int, Any] = {id(tensor): tensor for tensor in (*cell.parameters(), *cell.buffers())}
    copied = copy.deepcopy(cell, shared).eval()
    for module in list(copied.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Wrapper):
                setattr(module, name, _unwrapped(child))
    return _unwrapped(copied)


def _unwrapped(cell: Cell[Any]) -> Cell[Any]:
    while isinstance(cell, Wrapper) and cell.only_in_training:
        cell = cell.cell
    return cell
