"""Which engine runs: all knowledge of which one is faster is here, and nowhere else.

An engine answers for itself alone: `unsupported` at once and without side effects, `prepare` where that takes work.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from rnnkit.cells.elman import ElmanCell
from rnnkit.cells.gru import GRUCell
from rnnkit.cells.lstm import LSTMCell
from rnnkit.engines import compiled, native, parallel, reference
from rnnkit.engines.request import Request, Result
from rnnkit.errors import UserError


class Engine(Protocol):
    """What a module of this folder offers to be an engine.

    `compiled` has a `prepare(request)` as well, which traces the step and returns the reason where that is impossible.
    """

    def unsupported(self, request: Request) -> str | None:
        """The reason why this engine cannot run this exactly as the cell says; None where it can."""

    def run(self, request: Request) -> Result:
        """Take one step or more."""


ENGINES: dict[str, Engine] = {"compiled": compiled, "parallel": parallel, "native": native, "reference": reference}
"""Fastest first, where `slower` gives no reason; the last one runs everything."""

FEWEST_STEPS = 16
"""From which on a cell is compiled."""
LEAST_WORK = {LSTMCell: 1e9, GRUCell: 2e7, ElmanCell: 2e7}
"""Multiplications in a window from which on a cell is compiled that torch has a kernel for; oneDNN's for the LSTM is a
fast one."""

LIVE_STEPS = {"auto": native.quick_step, "compiled": compiled.quick_step}
"""One step of a live stream, `(y, state)`, by the engine that `choose` would take; None where a step needs more than
the cell, a tensor and a state, or a further look at them."""

_rows_scale: ContextVar[float] = ContextVar("_rows_scale", default=1)


def choose(request: Request, engine: str) -> str:
    """The name of the engine that runs; UserError for an unknown one, and for one that cannot run this."""
    if engine == "auto":
        for name in ENGINES:
            # In this order: whether a cell can be compiled takes a trace to find out.
            if slower(name, request) is None and refusal(name, request) is None:
                return name
    if engine not in ENGINES:
        raise UserError("engine", f"auto or one of {', '.join(ENGINES)}", repr(engine), fix='engine="auto"')
    reason = refusal(engine, request)
    if reason is not None:
        raise UserError("engine", "one that can run this cell", f"{engine} ({reason})", fix='engine="auto"')
    return engine


def refusal(name: str, request: Request) -> str | None:
    """The reason why an engine cannot run a request; None where it can and is ready to."""
    engine = ENGINES[name]
    reason = engine.unsupported(request)
    if reason is None and engine is compiled:
        return compiled.prepare(request)
    return reason


def slower(name: str, request: Request) -> str | None:
    """The reason why another engine is as fast or faster; a matter of sizes alone, so that a run can be repeated."""
    if name not in ("compiled", "parallel"):
        return None
    T = request.first.shape[1]
    if name == "parallel":
        return "one or two steps are taken sooner than a scan is set up" if T <= 2 else None
    if T < FEWEST_STEPS:
        return f"{T} steps are too few to be worth compiling"
    if request.first.is_cuda:
        if parallel.unsupported(request) is None:
            return "on a GPU a linear recurrence is faster all at once"
        return None if native.unsupported(request) else "cuDNN has a kernel for this cell"
    least = LEAST_WORK.get(type(request.cell), 0)
    if least and native.unsupported(request) is None:
        weights = sum(parameter.numel() for parameter in request.cell.parameters())
        if T * request.first.shape[0] * _rows_scale.get() * weights < least:
            return "torch has a kernel for this cell, and for so little work it need not be faster"
    return None


def are_one_call(requests: list[Request], engine: str) -> bool:
    """Whether these two are the directions of one layer that torch's kernel takes in one call."""
    if not requests:
        return False
    one, other = requests
    return native.are_a_pair((one.cell, other.cell), one.x) and all(choose(r, engine) == "native" for r in requests)


@contextmanager
def as_for_more_rows(scale: float) -> Iterator[None]:
    """Within the block engines are chosen as for a batch with so many times as many rows."""
    token = _rows_scale.set(scale)
    try:
        yield
    finally:
        _rows_scale.reset(token)
