"""The Python loop: every other engine is judged by it."""

import torch
from torch import Tensor

from rnnkit.cells.base import Cell, State
from rnnkit.engines.window import Window, select_rows, valid_steps


def unsuitable(cell: Cell[State], x_BTI: Tensor, state: State) -> str | None:
    """Never: a loop runs any cell."""
    return None


def unprofitable(cell: Cell[State], x_BTI: Tensor, state: State) -> str | None:
    """Never: nothing comes after it."""
    return None


def run(cell: Cell[State], x_BTI: Tensor, state: State, window: Window) -> tuple[Tensor, State]:
    """Take the steps one after another; at padded steps the state stands still and the output is zero."""
    B, T = x_BTI.shape[:2]
    valid_BT = None if window.lengths is None else valid_steps(window.lengths, T)
    if valid_BT is not None:
        x_BTI = x_BTI.masked_fill(~valid_BT[..., None], 0)
    # Once for the call, as the other engines have it: what it draws is the same for all sequences of a lane.
    initial = None if window.fresh is None else cell.initial_state(B)
    outputs: list[Tensor] = []
    for t in reversed(range(T)) if window.reverse else range(T):
        if window.fresh is not None and initial is not None:
            state = select_rows(window.fresh[:, t], initial, state)
        y_BO, after = cell(x_BTI[:, t], state)
        if valid_BT is None:
            state = after
        else:
            y_BO = y_BO.masked_fill(~valid_BT[:, t, None], 0)
            state = select_rows(valid_BT[:, t], after, state)
        outputs.append(y_BO)
    return torch.stack(outputs[::-1] if window.reverse else outputs, dim=1), state
