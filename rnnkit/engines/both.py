"""A layer in both directions."""

from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.engines import native, scanning
from rnnkit.engines.checks import check_input
from rnnkit.engines.scanning import scan
from rnnkit.engines.weights import computed_weights

Pair = tuple[Any, Any]


def scan_both(
    cells: tuple[Cell[Any], Cell[Any]],
    x_BTI: Tensor,
    states: Pair = (None, None),
    *,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
    engine: str = "auto",
    checkpoint_every: int | None = None,
) -> tuple[Tensor, Pair]:
    """Take one cell forwards and the other backwards: outputs side by side [B, T, 2 O], and both last states.

    The numbers of two calls of `rnnkit.scan`, to rounding, and its arguments and errors. Where both would be torch's
    kernel from the first step of full lanes to their last it is called once, which spares copies in reversed order.

    >>> from rnnkit.cells import LSTMCell
    >>> y_BTO, (_, backward) = scan_both((LSTMCell(3, 5), LSTMCell(3, 5)), torch.randn(2, 4, 3))
    >>> y_BTO.shape, torch.equal(y_BTO[:, 0, 5:], backward.hidden)
    (torch.Size([2, 4, 10]), True)
    """
    if states == (None, None) and lengths is None and reset is None and checkpoint_every is None:
        check_input(cells[0], x_BTI)
        starts = [cell.initial_state(x_BTI.shape[0]) for cell in cells]
        if (
            native.are_a_pair(cells, x_BTI)
            and not any(computed_weights(cell) for cell in cells)
            and all(scanning.choose(cell, x_BTI, s, engine) == "native" for cell, s in zip(cells, starts, strict=True))
        ):
            return native.run_both(cells, x_BTI, starts)
    options: dict[str, Any] = {"lengths": lengths, "reset": reset}
    options |= {"engine": engine, "checkpoint_every": checkpoint_every}
    outputs, ends = [], []
    for cell, state, reverse in zip(cells, states, (False, True), strict=True):
        y_BTO, end = scan(cell, x_BTI, state, reverse=reverse, **options)
        outputs.append(y_BTO)
        ends.append(end)
    return torch.cat(outputs, dim=-1), (ends[0], ends[1])
