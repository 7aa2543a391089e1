"""All coefficients at once, one pass over time for the states, and all outputs at once: for subclasses of `LinearCell`.

Padding and resets are expressed by the coefficients: at a padded step a = 1 and b = 0, which keeps the state. Where a
row is reset, the previous state is replaced by zero and b by b + a * initial. The direction is the order of the states.
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
from rnnkit.engines.window import cut, joined
from rnnkit.masks import valid_steps

CACHED_NUMBERS = 2**18
"""The size of each tensor between input and output: 1 MiB in float32, so that all fit into a last-level cache."""
MIN_ROWS = 256


def unsupported(request: Request) -> str | None:
    """Return why the states cannot be computed at once; None if a and b determine them."""
    cell = request.cell
    if not isinstance(cell, LinearCell):
        return f"{type(cell).__name__} is not a LinearCell, and its steps cannot be computed at once"
    if type(cell).forward is not LinearCell.forward:
        return f"{type(cell).__name__} overrides forward, which may differ from its coefficients"
    if request.plain is not None:
        return f"{request.plain}, but a LinearCell reads one tensor"
    if torch.compiler.is_compiling():
        return "a graph is being traced, and the kernels are not torch operations"
    return watched(cell) or transformed([request.x, *state_leaves(request.state), *cell.parameters(), *cell.buffers()])


def run(request: Request) -> Result:
    """Compute coefficients, states and outputs; on CPUs for as many steps at a time as fit into the caches."""
    x_BTI, state, window = request.x, request.state, request.window
    T = x_BTI.shape[1]
    steps = _steps_in_cache(request.cell, x_BTI) if x_BTI.device.type == "cpu" else T
    if steps >= T:
        return _run(request)
    parts: list[Result] = []
    # chunks are not slices of x, each of which would have a gradient as large as x
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
    """Return a number of steps large enough for fast products, whose tensors fit into the caches."""
    B = max(x_BTI.shape[0], 1)
    rows: int = max(MIN_ROWS, CACHED_NUMBERS // cast(Any, cell).hidden_size)
    return max(1, rows // B)


def _run(request: Request) -> Result:
    """Compute all steps at once."""
    cell, x_BTI, h_BH, window = cast(LinearCell, request.cell), request.x, cast(Tensor, request.state), request.window
    T = x_BTI.shape[1]
    valid_BT1 = None if window.lengths is None else valid_steps(window.lengths, T)[..., None]
    if valid_BT1 is not None:
        x_BTI = x_BTI.masked_fill(~valid_BT1, 0)
    a, b_BTH = cell.coefficients(x_BTI)
    if valid_BT1 is not None:
        a, b_BTH = torch.where(valid_BT1, a, 1), torch.where(valid_BT1, b_BTH, 0)
    if window.fresh is not None:
        begun_BTH = b_BTH + a * request.fresh_state()[:, None]
        b_BTH = torch.where(window.fresh[..., None], begun_BTH, b_BTH)
    dtype = functools.reduce(torch.promote_types, (a.dtype, b_BTH.dtype, h_BH.dtype))
    # in half precision, the sum over many steps would be rounded at each of them
    scanned = torch.promote_types(dtype, torch.float32)
    a, b_BTH, h_BH = a.to(scanned), b_BTH.to(scanned), h_BH.to(scanned)
    h_BTH, end_BH = linear_scan(a, b_BTH, h_BH, fresh_BT=window.fresh, reverse=window.reverse)
    states_BTH = h_BTH.to(dtype)
    y_BTO = cell.readout(states_BTH, x_BTI)
    if valid_BT1 is not None:
        y_BTO = y_BTO.masked_fill(~valid_BT1, 0)
    elif y_BTO.untyped_storage().data_ptr() in {part.untyped_storage().data_ptr() for part in (h_BTH, x_BTI)}:
        # the caller may modify the output, but not saved tensors of the backward pass, nor x
        y_BTO = y_BTO.clone()
    # the state is constant at padded steps; the returned one may be modified
    return Result(y_BTO, end_BH.to(dtype), states_BTH.clone() if request.states else None)
