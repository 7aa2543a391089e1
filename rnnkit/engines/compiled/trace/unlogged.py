"""Traces without torch's log of the shapes that do not fit."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rnnkit.compat.torch import FakeTensorMode


@contextmanager
def unlogged() -> Iterator[None]:
    """Hide torch's log of failed traces: the error is raised too, and either another trace is tried or a message gives
    the reason.
    """

    def nothing(_: logging.LogRecord) -> bool:
        return False

    log = logging.getLogger(FakeTensorMode.__module__)
    log.addFilter(nothing)
    try:
        yield
    finally:
        log.removeFilter(nothing)
