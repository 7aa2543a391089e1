"""The coefficients of all steps at once, one pass over time for the states, all outputs at once: for `LinearCell`s.

Padding and resets are coefficients too: at a padded step a = 1 and b = 0, so that the state stands still, and where a
lane begins anew it goes on from zero with b + a * initial. The direction is the order in which the states are computed.
"""

import functools
from typing import Any, cast

import torch
from torch import Tensor

from rnnkit.cells.base import Cell, State
from rnnkit.cells.linear import LinearCell
from rnnkit.cells.state import state_leaves
from rnnkit.engines.hooks import transformed, watched
from rnnkit.engines.linear_scan import linear_scan
from rnnkit.engines.window import Window, valid_steps

CACHED_NUMBERS = 2**18
"""In each tensor between input and output: 1 MiB in float32, so that all of them fit into a last-level cache."""
MIN_ROWS = 256


def unsuitable(cell: Cell[State], x_BTI: Tensor, state: State) -> str | None:
    """Why the states cannot be had without stepping; None where a and b say all."""
    if not isinstance(cell, LinearCell):
        return f"{type(cell).__name__} is no LinearCell: its steps cannot be taken all at once"
    if type(cell).forward is not LinearCell.forward:
        return f"{type(cell).__name__} has a forward of its own, which may be more than its coefficients say"
    if torch.compiler.is_compiling():
        return "a graph is being traced, and the kernels are no operations that a graph could hold"
    return watched(cell) or transformed([x_BTI, *state_leaves(state), *cell.parameters(), *cell.buffers()])


def unprofitable(cell: Cell[State], x_BTI: Tensor, state: State) -> str | None:
    """Why the loop would be faster, as in a live stream; None where it is not."""
    return "one or two steps are taken sooner than a scan is set up" if x_BTI.shape[1] <= 2 else None


def run(cell: Cell[State], x_BTI: Tensor, state: State, window: Window) -> tuple[Tensor, State]:
    """Coefficients, states, outputs: on a CPU for so many steps at a time that they stay in its caches."""
    T = x_BTI.shape[1]
    steps = _steps_in_cache(cell, x_BTI) if x_BTI.device.type == "cpu" else T
    if steps >= T:
        return _run(cast(Any, cell), x_BTI, state, window)
    outputs: list[Tensor] = []
    # Not slices of x, each of which would have a gradient as large as x.
    pieces = list(enumerate(x_BTI.split(steps, dim=1)))
    for n, x_BKI in reversed(pieces) if window.reverse else pieces:
        start, K = n * steps, x_BKI.shape[1]
        lengths_B = None if window.lengths is None else (window.lengths - start).clamp(0, K)
        fresh_BK = None if window.fresh is None else window.fresh[:, start : start + K]
        y_BKO, state = _run(cast(Any, cell), x_BKI, state, Window(lengths_B, fresh_BK, window.reverse))
        outputs.append(y_BKO)
    return torch.cat(outputs[::-1] if window.reverse else outputs, dim=1), state


def _steps_in_cache(cell: Cell[Any], x_BTI: Tensor) -> int:
    """So many steps that a product has enough rows to be fast, and what it makes fits into the caches."""
    B = max(x_BTI.shape[0], 1)
    rows: int = max(MIN_ROWS, CACHED_NUMBERS // cast(Any, cell).hidden_size)
    return max(1, rows // B)


def _run(cell: LinearCell, x_BTI: Tensor, state: Any, window: Window) -> tuple[Tensor, Any]:
    """All steps at once."""
    h_BH = cast(Tensor, state)
    B, T = x_BTI.shape[:2]
    valid_BT1 = None if window.lengths is None else valid_steps(window.lengths, T)[..., None]
    if valid_BT1 is not None:
        x_BTI = x_BTI.masked_fill(~valid_BT1, 0)
    a, b_BTH = cell.coefficients(x_BTI)
    if valid_BT1 is not None:
        a, b_BTH = torch.where(valid_BT1, a, 1), torch.where(valid_BT1, b_BTH, 0)
    if window.fresh is not None:
        begun_BTH = b_BTH + a * cell.initial_state(B)[:, None]
        b_BTH = torch.where(window.fresh[..., None], begun_BTH, b_BTH)
    dtype = functools.reduce(torch.promote_types, (a.dtype, b_BTH.dtype, h_BH.dtype))
    # In half precision the sum over many steps would be rounded at each of them.
    scanned = torch.promote_types(dtype, torch.float32)
    a, b_BTH, h_BH = a.to(scanned), b_BTH.to(scanned), h_BH.to(scanned)
    h_BTH, end_BH = linear_scan(a, b_BTH, h_BH, fresh_BT=window.fresh, reverse=window.reverse)
    y_BTO = cell.readout(h_BTH.to(dtype), x_BTI)
    if valid_BT1 is not None:
        y_BTO = y_BTO.masked_fill(~valid_BT1, 0)
    elif y_BTO.untyped_storage().data_ptr() in {part.untyped_storage().data_ptr() for part in (h_BTH, x_BTI)}:
        # The caller may write into the output, and not into what the backward pass needs, nor into x.
        y_BTO = y_BTO.clone()
    return y_BTO, end_BH.to(dtype)
