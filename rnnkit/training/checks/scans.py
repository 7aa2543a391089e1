"""Where the layers of a model run over time, for those who have to watch."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

from rnnkit.engines import both, native
from rnnkit.layers import rnn


@contextmanager
def each_scan(by: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Every layer calls what `by` makes of `rnnkit.scan`, one direction at a time.

    >>> import torch
    >>> from rnnkit.cells import LSTMCell
    >>> layer, seen = rnn.RNN(LSTMCell, 2, 3, bidirectional=True), []
    >>> def by(scan):
    ...     return lambda cell, *given, **options: seen.append(cell) or scan(cell, *given, **options)
    >>> with each_scan(by):
    ...     _ = layer(torch.zeros(1, 4, 2))
    >>> seen == list(layer.cells)
    True
    """
    with ExitStack() as stack:
        for module in (rnn, both):
            stack.enter_context(replaced(module, "scan", by(module.scan)))
        stack.enter_context(replaced(native, "are_a_pair", lambda *_: False))
        yield


@contextmanager
def replaced(module: ModuleType, name: str, by: Callable[..., Any]) -> Iterator[None]:
    """Another function in a module, while the block runs."""
    original = getattr(module, name)
    setattr(module, name, by)
    try:
        yield
    finally:
        setattr(module, name, original)
