"""Observation of every scan in a block of code, without changes to the model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rnnkit.cells.base import Cell
from rnnkit.cells.state import map_state, state_leaves
from rnnkit.engines import policy
from rnnkit.engines.request import Request, Result


class ScanEvent(NamedTuple):
    """One scan; the tensors are those of the scan itself, with their graph.

    Args:
        cell: the cell.
        name: its path in the observed module, or else its class.
        x, initial, context, lengths, reverse: the arguments; `initial` is the state before the first step.
        reset: [B, T], true where a new sequence begins at that step; None if none does.
        engine: the name of the engine.
        y, state: the results; None before the first step.
        states: the state after every step, each leaf [B, T, ...], without a graph; None unless requested.
    """

    cell: Cell[Any]
    name: str
    x: Any
    initial: Any
    context: Any
    lengths: Tensor | None
    reverse: bool
    engine: str
    y: Tensor | None = None
    state: Any = None
    states: Any = None
    reset: Tensor | None = None


class Observer(NamedTuple):
    """An observer: its callback and the module whose names it uses."""

    callback: Callable[[ScanEvent], object]
    before: Callable[[ScanEvent], object] | None
    names: dict[nn.Module, str]
    states: bool

    def named(self, event: ScanEvent) -> ScanEvent:
        """Return the event with the name of the cell in the observed module."""
        return event._replace(name=self.names.get(event.cell, event.name))


_observers: ContextVar[tuple[Observer, ...]] = ContextVar("_observers", default=())


@contextmanager
def observe(
    callback: Callable[[ScanEvent], object],
    *,
    module: nn.Module | None = None,
    states: bool = False,
    before: Callable[[ScanEvent], object] | None = None,
) -> Iterator[None]:
    """Call `callback` after every `rnnkit.scan` of this thread within the block, including those inside of layers.

    The engines and the results are the same as without observers. An `rnnkit.RNN` is one scan for each layer and
    direction. Scans by the callback itself are not observed.

    Args:
        callback: called with a `ScanEvent`.
        module: the events name cells by their paths in this module.
        states: pass the states of all steps to the callback. They are recomputed without gradients, with the same
            random numbers. They are None if another engine has to do that, which draws random numbers in another order.
        before: called before the first step of every scan, with an event that has no results yet.

    >>> from rnnkit import RNN
    >>> from rnnkit.cells import GRUCell
    >>> rnn, seen = RNN(GRUCell, 3, 5, num_layers=2), []
    >>> with observe(lambda event: seen.append((event.name, event.states.shape)), module=rnn, states=True):
    ...     _ = rnn(torch.zeros(2, 4, 3))
    >>> seen
    [('cells.0', torch.Size([2, 4, 5])), ('cells.1', torch.Size([2, 4, 5]))]
    """
    names = {} if module is None else {part: name for name, part in module.named_modules() if name}
    token = _observers.set((*_observers.get(), Observer(callback, before, names, states)))
    try:
        yield
    finally:
        _observers.reset(token)


def observers() -> tuple[Observer, ...]:
    """Return the active observers; there are none while torch.compile traces."""
    return () if torch.compiler.is_compiling() else _observers.get()


def run_observed(request: Request, engine: str, run: Callable[[], Result]) -> Result:
    """Return the result of `run` after passing it to all observers."""
    watching = _observers.get()
    window = request.window
    event = ScanEvent(
        cell=request.cell,
        name=type(request.cell).__name__,
        x=request.x,
        initial=request.state,
        context=request.context,
        lengths=window.lengths,
        reverse=window.reverse,
        engine=engine,
        reset=_reset(request),
    )
    with _unobserved():
        for observer in watching:
            if observer.before is not None:
                observer.before(observer.named(event))
        wanted = any(observer.states for observer in watching)
        random = _random_state(request) if wanted else []
        result = run()
        states = _states(request, engine, result, random) if wanted else None
        event = event._replace(y=result.y, state=result.state)
        for observer in watching:
            observer.callback(observer.named(event._replace(states=states if observer.states else None)))
    return result


@contextmanager
def _unobserved() -> Iterator[None]:
    token = _observers.set(())
    try:
        yield
    finally:
        _observers.reset(token)


def _states(request: Request, engine: str, result: Result, random: list[Tensor]) -> Any:
    """Return the states of all steps, of this run or of another one with the same random numbers."""
    if result.states is not None:
        return map_state(Tensor.detach, result.states)
    again = request._replace(states=True)
    if request.first.shape[1] == 0:
        return None
    with torch.no_grad(), torch.random.fork_rng(_devices(request)):
        torch.set_rng_state(random[0])
        for device, numbers in zip(_devices(request), random[1:], strict=True):
            torch.cuda.set_rng_state(numbers, device)
        able = policy.ENGINES[engine].unsupported(again) is None
        repeated = policy.ENGINES[policy.choose(again, engine if able else "auto")].run(again)
    ends = zip(state_leaves(repeated.state), state_leaves(result.state), strict=True)
    same = all(torch.allclose(one.to(other.dtype), other, rtol=1e-2, atol=1e-2, equal_nan=True) for one, other in ends)
    return repeated.states if same else None


def _reset(request: Request) -> Tensor | None:
    """Return the first steps of sequences; in reverse, the window marks the last ones."""
    fresh_BT = request.window.fresh
    if fresh_BT is None or not request.window.reverse:
        return fresh_BT
    return torch.cat([torch.zeros_like(fresh_BT[:, :1]), fresh_BT[:, :-1]], dim=1)


def _devices(request: Request) -> list[torch.device]:
    return [request.first.device] if request.first.is_cuda else []


def _random_state(request: Request) -> list[Tensor]:
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in _devices(request))]
