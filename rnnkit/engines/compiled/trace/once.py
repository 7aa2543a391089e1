"""Warnings that are told once in a process."""

import functools
import warnings


@functools.cache
def warn_once(message: str) -> None:
    """Tell it, unless it was told before."""
    warnings.warn(message, stacklevel=2)
