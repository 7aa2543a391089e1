"""The arguments of a scan: checked, and completed with what is drawn for the whole window."""

from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.cells.state import state_leaves
from rnnkit.engines.checks import check_context, check_input, check_state
from rnnkit.engines.request import Request
from rnnkit.engines.window import Window, select_rows
from rnnkit.errors import UserError
from rnnkit.masks import as_lengths, as_reset, valid_steps


def request_of(
    cell: Cell[Any], x: Any, state: Any, context: Any, lengths: Any, reset: Any, *, reverse: bool, states: bool
) -> Request:
    """Return the arguments of a scan after all checks, with the random numbers of the whole window drawn."""
    check_input(cell, x)
    _check_export(x)
    if context is not None or cell.needs_context:
        check_context(cell, context)
    first = x if isinstance(x, Tensor) else state_leaves(x)[0]
    B = first.shape[0]
    lengths_B = None if lengths is None else as_lengths(lengths, first)
    reset_BT = None if reset is None else as_reset(reset, first)
    if state is None:
        state = cell.initial_state(B)
    else:
        check_state(cell, state, B)
        if reset_BT is not None and reset_BT.dim() == 1:
            state = select_rows(reset_BT, cell.initial_state(B), state)
    context = cell.begin(B, context)
    window = Window(lengths_B, _fresh_steps(reset_BT, lengths_B, reverse), reverse)
    initial = None if window.fresh is None else cell.initial_state(B)
    return Request(cell, x, state, window, context, states, initial)


def _check_export(x: Any) -> None:
    """Raise UserError if the number of steps is symbolic: the export would only work for the steps of its example."""
    steps = state_leaves(x)[0].shape[1] if torch.compiler.is_exporting() else 0
    if isinstance(steps, torch.SymInt):
        raise UserError(
            "x",
            "a fixed number of steps, since torch.export unrolls the loop over time",
            "a dynamic one",
            fix='rnnkit.deploy.export(step, "model.onnx", format="onnx-sequence") with step = Stack(list(rnn.cells))',
        )


def _fresh_steps(reset_BT: Tensor | None, lengths_B: Tensor | None, reverse: bool) -> Tensor | None:
    """Return where a row starts from the initial state, in the order of the steps; None for nowhere."""
    if reset_BT is None or reset_BT.dim() == 1:
        return None
    if lengths_B is not None:
        reset_BT = reset_BT & valid_steps(lengths_B, reset_BT.shape[1])
    if not reverse:
        return reset_BT
    # in reverse, the fresh step is the last one of the sequence before, to the left of the reset
    return torch.cat([reset_BT[:, 1:], torch.zeros_like(reset_BT[:, :1])], dim=1)
