"""The Python loop, the reference for all other engines."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.state import map_state
from rnnkit.engines.request import Request, Result
from rnnkit.engines.window import expanded, select_rows, without_padding
from rnnkit.masks import valid_steps


def unsupported(request: Request) -> str | None:
    """Return None: a loop runs any cell."""
    return None


def run(request: Request) -> Result:
    """Run the steps one by one; at padded steps the state is kept and the output is zero."""
    cell, x, state, window, context, wanted, _ = request
    T = request.first.shape[1]
    step = cell if context is None else partial(cell, context=context)
    valid_BT = None
    if window.lengths is not None:
        valid_BT = valid_steps(window.lengths, T)
        x = without_padding(x, window.lengths)
    # once for each call, as in the other engines: its random numbers are the same for all sequences of a row
    initial = None if window.fresh is None else request.fresh_state()
    outputs: list[Tensor] = []
    states: list[Any] = []
    for t in reversed(range(T)) if window.reverse else range(T):
        if window.fresh is not None and initial is not None:
            state = select_rows(window.fresh[:, t], initial, state)
        y_BO, after = step(x[:, t] if isinstance(x, Tensor) else map_state(lambda leaf, t=t: leaf[:, t], x), state)
        if valid_BT is None:
            state = after
        else:
            y_BO = y_BO.masked_fill(expanded(~valid_BT[:, t], y_BO), 0)
            state = select_rows(valid_BT[:, t], after, state)
        outputs.append(y_BO)
        if wanted:
            states.append(state)
    order = slice(None, None, -1) if window.reverse else slice(None)
    over_time = map_state(_stacked, *states[order]) if wanted else None
    return Result(torch.stack(outputs[order], dim=1), state, over_time)


def _stacked(*leaves: Tensor) -> Tensor:
    return torch.stack(leaves, dim=1)
