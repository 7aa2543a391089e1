"""Dates without separators: 20240131, 2024031, 202405, 20241."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

WIDTHS = {"Y": 4, "G": 4, "j": 3, "q": 1}
"""The number of digits of a field; other fields have two."""
FORMATS = (
    *("%Y", "%Y%m", "%Y%m%d", "%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S", "%Y%j", "%G%V", "%Y%q"),
    *("%y%j", "%y%m%d", "%y%m%d%H", "%y%m%d%H%M"),
)
PLAIN = frozenset(("%Y%m%d", "%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S"))
"""Formats that few other numbers match."""
_UNITS = {"m": "M", "q": "M", "Y": "Y"}
_FIRST, _LAST = 1800, 2200

Ascends = Callable[[NDArray[Any]], bool]


def read_compact(values: NDArray[np.float64], form: str) -> NDArray[Any] | None:
    """Convert numbers to times, `datetime64[us]`; None if a number is not a date, or the format has other directives.

    >>> read_compact(np.array([2024060.0, 2024366.0]), "%Y%j").astype("datetime64[D]").astype(str).tolist()
    ['2024-02-29', '2024-12-31']
    """
    if not re.fullmatch(r"(%[YGyjVqmdHMS])+", form) or not re.search("[YGy]", form):
        return None
    names = re.findall(r"%(\w)", form)
    digits = sum(WIDTHS.get(name, 2) for name in names)
    least = 10 ** (digits - (2 if form == "%y%m%d" else 1))  # 010203 is the number 10203
    if not (values == np.floor(values)).all() or not ((values >= least) & (values < 10**digits)).all():
        return None
    left = values.astype(np.int64)
    field: dict[str, NDArray[np.int64]] = {}
    for name in reversed(names):
        left, field[name] = np.divmod(left, 10 ** WIDTHS.get(name, 2))
    date = _dates(field, np.ones_like(left))
    if date is None:
        return None
    hour, minute, second = (field.get(name, np.zeros_like(left)) for name in "HMS")
    if not ((hour < 24) & (minute < 60) & (second < 60)).all():
        return None
    seconds = (hour * 60 + minute) * 60 + second
    return date.astype("datetime64[us]") + seconds.astype("timedelta64[s]")  # type: ignore[no-any-return]


def compact_formats(values: NDArray[np.float64], ascends: Ascends, *, is_named: bool) -> list[str]:
    """The possible date formats of numbers: none, one, or several that fit equally well. They may include "number".

    If the column is not named like a time, numbers of few rows or without gaps may have any meaning. Then a format
    counts only if the dates ascend in equal steps.
    """
    fitting = [form for form in FORMATS if _is_recent(values, form)]
    read = {form: times for form in fitting if (times := read_compact(values, form)) is not None}
    rising = {form: times for form, times in read.items() if ascends(times)}
    found = {form: _evenness(times, form) for form, times in rising.items() if _counts(values, times, form, is_named)}
    if not found:  # unsorted dates are also dates
        return [form for form in read if is_named and form in (*PLAIN, "%Y%m", "%Y%j")][:1]
    best = max(found.values())
    formats = [form for form, evenness in found.items() if evenness == best]
    may_count = formats == ["%y%j"] and best <= _share(np.diff(values))  # no year ends within the numbers
    return [*formats, "number"] if may_count else formats


def begins_like_dates(values: NDArray[np.float64]) -> str | None:
    """The format in which the first number is a date and other numbers are not."""
    forms = (*PLAIN, "%Y%m", "%Y%j")
    if any(read_compact(values, form) is not None for form in ("%G%V", *forms)):
        return None
    return next(
        (form for form in forms if _is_recent(values, form) and read_compact(values[:1], form) is not None), None
    )


def _is_recent(values: NDArray[np.float64], form: str) -> bool:
    """Whether the smallest and the largest number start with a plausible year."""
    if form.startswith("%y"):
        return True
    digits = sum(WIDTHS.get(name, 2) for name in re.findall(r"%(\w)", form))
    return all(_FIRST <= value // 10 ** (digits - 4) <= _LAST for value in (values.min(), values.max()))


def _counts(values: NDArray[np.float64], times: NDArray[Any], form: str, is_named: bool) -> bool:
    if form in PLAIN:
        return True
    even = _evenness(times, form)
    if form == "%Y":  # 1990, 1991 may be any numbers
        return is_named and even > 0.8
    if form == "%Y%m":
        return even > 0.8 or is_named
    jumps = even > 0.9 and even > _share(np.diff(values))  # at the end of a month or a year
    if form.startswith("%y") and form not in ("%y%m%d", "%y%j"):
        return is_named and jumps
    return jumps or (is_named and even > 0.8)


def _evenness(times: NDArray[Any], form: str) -> float:
    """The fraction of steps that are one unit of the format or, for units up to an hour, the most frequent step."""
    last = form[-1]
    steps = np.abs(np.diff(times.astype(f"datetime64[{_UNITS.get(last, 'D' if last in 'djV' else 's')}]").astype(int)))
    if last in "HMS" and last != "m":
        return _share(steps)
    size = {"V": 7, "q": 3}.get(last, 1)
    return float((steps == size).mean()) if len(steps) else 0.0


def _share(steps: NDArray[Any]) -> float:
    """The fraction of steps that are the most frequent step."""
    return float(np.unique(np.abs(steps), return_counts=True)[1].max() / len(steps)) if len(steps) else 0.0


def _dates(field: dict[str, NDArray[np.int64]], one: NDArray[np.int64]) -> NDArray[Any] | None:
    """The days, `datetime64[D]`, of years with months, quarters, weeks or days of the year; None if one is invalid."""
    year = field["y"] + np.where(field["y"] < 69, 2000, 1900) if "y" in field else field.get("Y", field.get("G"))
    assert year is not None
    january = (year - 1970).astype("datetime64[Y]")
    if "j" in field:
        date = january.astype("datetime64[D]") + (field["j"] - 1)
        return date if (field["j"] >= 1).all() and (date.astype("datetime64[Y]") == january).all() else None
    if "V" in field:  # week 1 contains January 4th; the Thursday of a week determines its year
        fourth = january.astype("datetime64[D]") + 3
        monday = fourth - (fourth.astype(np.int64) + 3) % 7 + 7 * (field["V"] - 1)
        inside = ((monday + 3).astype("datetime64[Y]") == january) & (field["V"] >= 1)
        return monday if inside.all() else None
    month = 3 * field["q"] - 2 if "q" in field else field.get("m", one)
    day = field.get("d", one)
    if not ((month >= 1) & (month <= 12) & (day >= 1)).all():
        return None
    start = january.astype("datetime64[M]") + (month - 1)
    date = start.astype("datetime64[D]") + (day - 1)
    return date if (date.astype("datetime64[M]") == start).all() else None
