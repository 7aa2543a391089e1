"""The choice of an engine. All rules about which engine is faster are here.

An engine decides only whether it can run a request: `unsupported` at once and without side effects, `prepare` if work
is needed to find out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from rnnkit.cells.elman import ElmanCell
from rnnkit.cells.gru import GRUCell
from rnnkit.cells.lstm import LSTMCell
from rnnkit.engines import compiled, native, native_kernels, parallel, reference
from rnnkit.engines.request import Request, Result
from rnnkit.errors import UserError


class Engine(Protocol):
    """The interface of an engine, which is a module of this package.

    `compiled` also has `prepare(request)`, which traces the step and returns the reason if that fails.
    """

    def unsupported(self, request: Request) -> str | None:
        """Return the reason why this engine cannot run the request exactly; None if it can."""

    def run(self, request: Request) -> Result:
        """Run one step or more."""


ENGINES: dict[str, Engine] = {"compiled": compiled, "parallel": parallel, "native": native, "reference": reference}
"""Engines in order of preference, if `slower` gives no reason against one; the last one runs everything."""

FEWEST_STEPS = 16
"""The smallest number of steps for which a cell is compiled."""
LEAST_WORK = {LSTMCell: 1e9, GRUCell: 2e7, ElmanCell: 2e7}
"""The smallest number of multiplications in a window for which a cell is compiled although torch has a kernel for it;
oneDNN's kernel for the LSTM is a fast one."""

LIVE_STEPS = {"auto": native_kernels.quick_step, "compiled": compiled.quick_step}
"""One step of a live stream, `(y, state)`, by the engine that `choose` would choose; None if a step needs more than the
cell, a tensor and a state, or more checks of them."""

_rows_scale: ContextVar[float] = ContextVar("_rows_scale", default=1)


def choose(request: Request, engine: str) -> str:
    """Return the name of the engine; raise UserError for one that is unknown or cannot run the request."""
    if engine == "auto":
        for name in ENGINES:
            # in this order: whether a cell can be compiled is known after tracing only
            if slower(name, request) is None and refusal(name, request) is None:
                return name
    if engine not in ENGINES:
        raise UserError("engine", f"auto or one of {', '.join(ENGINES)}", repr(engine), fix='engine="auto"')
    reason = refusal(engine, request)
    if reason is not None:
        raise UserError("engine", "one that supports this cell", f"{engine} ({reason})", fix='engine="auto"')
    return engine


def refusal(name: str, request: Request) -> str | None:
    """Return the reason why an engine cannot run a request; None if it can and is ready."""
    engine = ENGINES[name]
    reason = engine.unsupported(request)
    if reason is None and engine is compiled:
        return compiled.prepare(request)
    return reason


def slower(name: str, request: Request) -> str | None:
    """Return the reason why another engine is as fast or faster. It depends on sizes alone, so that runs can be
    repeated.
    """
    if name not in ("compiled", "parallel"):
        return None
    T = request.first.shape[1]
    if name == "parallel":
        return "for one or two steps, a scan takes longer to set up" if T <= 2 else None
    if T < FEWEST_STEPS:
        return f"{T} steps are too few to be worth compiling"
    if request.first.is_cuda:
        if parallel.unsupported(request) is None:
            return "on a GPU, the parallel engine is faster for a linear recurrence"
        return None if native.unsupported(request) else "cuDNN has a kernel for this cell"
    least = LEAST_WORK.get(type(request.cell), 0)
    if least and native.unsupported(request) is None:
        weights = sum(parameter.numel() for parameter in request.cell.parameters())
        if T * request.first.shape[0] * _rows_scale.get() * weights < least:
            return "torch has a kernel for this cell, which is about as fast for so little work"
    return None


def are_one_call(requests: list[Request], engine: str) -> bool:
    """Whether two requests are the directions of one layer that torch's kernel runs in one call."""
    if not requests:
        return False
    one, other = requests
    return native.are_a_pair((one.cell, other.cell), one.x) and all(choose(r, engine) == "native" for r in requests)


@contextmanager
def as_for_more_rows(scale: float) -> Iterator[None]:
    """Choose engines within the block as for a batch with `scale` times as many rows."""
    token = _rows_scale.set(scale)
    try:
        yield
    finally:
        _rows_scale.reset(token)
