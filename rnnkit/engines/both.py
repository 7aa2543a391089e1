"""A layer in both directions."""

from typing import Any

import torch
from torch import Tensor

from rnnkit.cells.base import Cell
from rnnkit.cells.state import map_state
from rnnkit.engines import native, scanning
from rnnkit.engines.checks import check_input
from rnnkit.engines.scanning import scan
from rnnkit.engines.weights import computed_weights
from rnnkit.masks import Lengths, Resets

Pair = tuple[Any, Any]


def scan_both(
    cells: tuple[Cell[Any], Cell[Any]],
    x_BTI: Tensor,
    states: Pair = (None, None),
    *,
    lengths: Lengths | None = None,
    reset: Resets | None = None,
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
    if all(given is None for given in (*states, lengths, reset, checkpoint_every)):
        check_input(cells[0], x_BTI)
        starts = [cell.initial_state(x_BTI.shape[0]) for cell in cells]
        if (
            native.are_a_pair(cells, x_BTI)
            and not any(computed_weights(cell) for cell in cells)
            and all(scanning.choose(cell, x_BTI, s, engine) == "native" for cell, s in zip(cells, starts, strict=True))
        ):
            y_BTO, ends = native.run_both(cells, x_BTI, starts)
            forward, backward = (map_state(scanning.as_given, end, s) for end, s in zip(ends, starts, strict=True))
            return y_BTO, (forward, backward)
    options: dict[str, Any] = {"lengths": lengths, "reset": reset}
    options |= {"engine": engine, "checkpoint_every": checkpoint_every}
    y_BTO, forward = scan(cells[0], x_BTI, states[0], **options)
    reversed_BTO, backward = scan(cells[1], x_BTI, states[1], reverse=True, **options)
    return torch.cat([y_BTO, reversed_BTO], dim=-1), (forward, backward)
