"""The differences between two values, in words."""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

SHOWN = 3
"""The number of differences that a message names."""


def differences(was: Any, now: Any, place: str = "") -> Iterator[str]:
    """Yield the differences of two JSON values; rounding differences between processors are ignored.

    >>> list(differences({"tokens": ["e", "a", "t"]}, {"tokens": ["e", "o"], "level": "char"}))
    ["tokens[1] is 'o' instead of 'a'", 'tokens has 2 entries instead of 3', "level is 'char' instead of nothing"]
    """
    if isinstance(was, dict) and isinstance(now, dict):
        for name in {**was, **now}:
            inner = f"{place}.{name}" if place else name
            if name in was and name in now:
                yield from differences(was[name], now[name], inner)
            else:
                yield f"{inner} is {_short(now.get(name))} instead of {_short(was.get(name))}"
    elif isinstance(was, list) and isinstance(now, list):
        for index, pair in enumerate(zip(was, now, strict=False)):
            yield from differences(*pair, f"{place}[{index}]")
        if len(was) != len(now):
            yield f"{place} has {len(now):,} entries instead of {len(was):,}"
    elif not _alike(was, now):
        yield f"{place} is {_short(now)} instead of {_short(was)}"


def _alike(was: Any, now: Any) -> bool:
    if isinstance(was, float) and isinstance(now, float):
        return math.isclose(was, now, rel_tol=1e-5, abs_tol=1e-9) or (math.isnan(was) and math.isnan(now))
    return bool(was == now)


def _short(value: Any) -> str:
    shown = "nothing" if value is None else repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


def listed(found: list[str]) -> str:
    """Return the first differences, and the number of the others."""
    shown = ", ".join(islice(found, SHOWN))
    return shown if len(found) <= SHOWN else f"{shown}, and {len(found) - SHOWN:,} more"
