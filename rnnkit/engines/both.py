"""Bidirectional scans."""

from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.cells.state import map_state
from rnnkit.engines import native_kernels, policy
from rnnkit.engines.checks import check_input
from rnnkit.engines.observe import observers
from rnnkit.engines.request import Request
from rnnkit.engines.scanning import as_given, scan
from rnnkit.engines.weights import computed_weights

Pair = tuple[Any, Any]


def scan_both(
    cells: tuple[Cell[Any], Cell[Any]], x: Any, states: Pair = (None, None), *, engine: str = "auto", **options: Any
) -> tuple[Tensor, Pair]:
    """Run one cell forward and the other backward; return the concatenated outputs [B, T, 2 O] and both last states.

    The result is that of two calls of `rnnkit.scan` with the same arguments, up to rounding, and so are the errors. A
    context is passed to each cell that takes one. If torch's kernel can run both cells over sequences of full length,
    it is called once, which avoids copies in reversed order.

    >>> from rnnkit.cells import LSTMCell
    >>> y_BTO, (_, backward) = scan_both((LSTMCell(3, 5), LSTMCell(3, 5)), torch.randn(2, 4, 3))
    >>> y_BTO.shape, torch.equal(y_BTO[:, 0, 5:], backward.hidden)
    (torch.Size([2, 4, 10]), True)
    """
    # observers see each direction
    if not observers() and all(given is None for given in (*states, *options.values())):
        check_input(cells[0], x)
        requests = [Request(cell, x, cell.initial_state(x.shape[0])) for cell in cells] if isinstance(x, Tensor) else []
        if policy.are_one_call(requests, engine) and not any(computed_weights(cell) for cell in cells):
            starts = [request.state for request in requests]
            y_BTO, ends = native_kernels.run_both(cells, x, starts)
            one, other = (map_state(as_given, end, start) for end, start in zip(ends, starts, strict=True))
            return y_BTO, (one, other)
    y_BTO, one = scan(cells[0], x, states[0], engine=engine, **options)
    reversed_BTO, other = scan(cells[1], x, states[1], engine=engine, reverse=True, **options)
    return torch.cat([y_BTO, reversed_BTO], dim=-1), (one, other)
