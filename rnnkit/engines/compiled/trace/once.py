"""Warnings that are issued once per process."""

import functools
import warnings


@functools.cache
def warn_once(message: str) -> None:
    """Issue a warning, unless it was issued before."""
    warnings.warn(message, stacklevel=2)
