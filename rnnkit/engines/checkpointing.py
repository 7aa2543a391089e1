"""Gradient checkpointing over time: the backward pass recomputes the steps of a window to save memory."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rnnkit.cells.state import map_state
from rnnkit.engines.request import Request, Result
from rnnkit.engines.weights import ComputedWeight, fixed_weights
from rnnkit.engines.window import Window, cut, joined


def run_in_chunks(
    run: Callable[[Request], Result], request: Request, weights: list[ComputedWeight], every: int
) -> Result:
    """Return the result of `run` for the whole window, storing only the input and the states between chunks of steps.

    Each chunk has `every` steps, the last one the remainder; in reverse, the last one comes first. The backward pass
    recomputes one chunk at a time, from the same state, with the same random numbers and the same computed weights.
    """

    def chunk(x: Any, state: Any, window: Window, context: Any) -> Result:
        # fixed again for the backward pass, which runs after scan has returned
        with fixed_weights(weights):
            return run(request._replace(x=x, state=state, window=window, context=context))

    T, state, parts = request.first.shape[1], request.state, []
    for start in _starts(T, every, reverse=request.window.reverse):
        stop = min(start + every, T)
        x = map_state(lambda leaf, at=slice(start, stop): leaf[:, at], request.x)
        # the random state is saved by default: it costs little, and whether a cell is random is unknown
        part = checkpoint(chunk, x, state, cut(request.window, start, stop), request.context, use_reentrant=False)
        state = part.state
        parts.append(part)
    if request.window.reverse:
        parts.reverse()
    y: Tensor = joined([part.y for part in parts])
    return Result(y, state, joined([part.states for part in parts]) if request.states else None)


def _starts(steps: int, every: int, *, reverse: bool) -> range:
    starts = range(0, steps, every)
    return starts[::-1] if reverse else starts
