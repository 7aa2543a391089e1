"""The coefficients of all steps at once, one pass over time for the states, all outputs at once: for `LinearCell`s.

Padding and resets are coefficients too: at a padded step a = 1 and b = 0, so that the state stands still, and where a
lane begins anew it goes on from zero with b + a * initial. The direction is the order in which the states are computed.
"""

import functools
from typing import Any, cast

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.cells.linear import LinearCell
from rnnkit.cells.state import state_leaves
from rnnkit.engines.hooks import transformed, watched
from rnnkit.engines.linear_scan import linear_scan
from rnnkit.engines.request import Request, Result
from rnnkit.engines.window import cut, joined, valid_steps

CACHED_NUMBERS = 2**18
"""In each tensor between input and output: 1 MiB in float32, so that all of them fit into a last-level cache."""
MIN_ROWS = 256


def unsupported(request: Request) -> str | None:
    """Why the states cannot be had without stepping; None where a and b say all."""
    cell = request.cell
    if not isinstance(cell, LinearCell):
        return f"{type(cell).__name__} is no LinearCell: its steps cannot be taken all at once"
    if type(cell).forward is not LinearCell.forward:
        return f"{type(cell).__name__} has a forward of its own, which may be more than its coefficients say"
    if request.plain is not None:
        return f"{request.plain}, and a LinearCell reads one tensor"
    if torch.compiler.is_compiling():
        return "a graph is being traced, and the kernels are no operations that a graph could hold"
    return watched(cell) or transformed([request.x, *state_leaves(request.state), *cell.parameters(), *cell.buffers()])


def run(request: Request) -> Result:
    """Coefficients, states, outputs: on a CPU for so many steps at a time that they stay in its caches."""
    x_BTI, state, window = request.x, request.state, request.window
    T = x_BTI.shape[1]
    steps = _steps_in_cache(request.cell, x_BTI) if x_BTI.device.type == "cpu" else T
    if steps >= T:
        return _run(request)
    parts: list[Result] = []
    # Not slices of x, each of which would have a gradient as large as x.
    pieces = list(enumerate(x_BTI.split(steps, dim=1)))
    for n, x_BKI in reversed(pieces) if window.reverse else pieces:
        part = cut(window, n * steps, n * steps + x_BKI.shape[1])
        parts.append(_run(request._replace(x=x_BKI, state=state, window=part)))
        state = parts[-1].state
    if window.reverse:
        parts.reverse()
    y_BTO = joined([part.y for part in parts])
    return Result(y_BTO, state, joined([part.states for part in parts]) if request.states else None)


def _steps_in_cache(cell: Cell[Any], x_BTI: Tensor) -> int:
    """So many steps that a product has enough rows to be fast, and what it makes fits into the caches."""
    B = max(x_BTI.shape[0], 1)
    rows: int = max(MIN_ROWS, CACHED_NUMBERS // cast(Any, cell).hidden_size)
    return max(1, rows // B)


def _run(request: Request) -> Result:
    """All steps at once."""
    cell, x_BTI, h_BH, window = cast(LinearCell, request.cell), request.x, cast(Tensor, request.state), request.window
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
    states_BTH = h_BTH.to(dtype)
    y_BTO = cell.readout(states_BTH, x_BTI)
    if valid_BT1 is not None:
        y_BTO = y_BTO.masked_fill(~valid_BT1, 0)
    elif y_BTO.untyped_storage().data_ptr() in {part.untyped_storage().data_ptr() for part in (h_BTH, x_BTI)}:
        # The caller may write into the output, and not into what the backward pass needs, nor into x.
        y_BTO = y_BTO.clone()
    # At a padded step it has stood still; what is handed out may be written into.
    return Result(y_BTO, end_BH.to(dtype), states_BTH.clone() if request.states else None)
