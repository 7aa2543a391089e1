"""Memory for time: what a window's steps would keep for the backward pass is computed again there."""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rnnkit.cells.base import Cell, State
from rnnkit.engines.weights import ComputedWeight, held
from rnnkit.engines.window import Window


class Run(Protocol):
    """The `run` of an engine."""

    def __call__(self, cell: Cell[Any], x_BTI: Tensor, state: Any, window: Window) -> tuple[Tensor, Any]:
        """Take the steps of one window."""


def run_in_chunks(
    run: Run, cell: Cell[State], x_BTI: Tensor, state: State, window: Window, weights: list[ComputedWeight], every: int
) -> tuple[Tensor, State]:
    """What `run` gives for the whole window, with only the input and the states between chunks of steps kept.

    Each chunk has `every` steps, the last one what is left; backwards, the last one comes first. The backward pass runs
    one chunk again at a time, from the same state, with the same random numbers and the same computed weights.
    """

    def chunk(x_BTI: Tensor, state: State, window: Window) -> tuple[Tensor, State]:
        # Here again for the backward pass, which is outside of scan.
        with held(weights):
            return run(cell, x_BTI, state, window)

    outputs: list[Tensor] = []
    starts = range(0, x_BTI.shape[1], every)
    for start in reversed(starts) if window.reverse else starts:
        steps = slice(start, start + every)
        x_BKI = x_BTI[:, steps]
        lengths_B = None if window.lengths is None else (window.lengths - start).clamp(0, x_BKI.shape[1])
        fresh_BK = None if window.fresh is None else window.fresh[:, steps]
        # The random state is kept too, by default: it costs little beside a chunk, and no cell says that it is random.
        y_BKO, state = checkpoint(chunk, x_BKI, state, Window(lengths_B, fresh_BK, window.reverse), use_reentrant=False)
        outputs.append(y_BKO)
    return torch.cat(outputs[::-1] if window.reverse else outputs, dim=1), state
