"""How far apart the steps of a series are, by the clock or by the calendar."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnkit.errors import UserError

Times = NDArray[Any]
"""[N], `datetime64[us]`, or float64 where a series is numbered and not dated."""

SECOND = 1_000_000
DAY = 86_400 * SECOND
WEEK = 7 * DAY
YEAR = 365.25 * DAY
_EXAMPLE = "1s, 15min, 1h, 1d, 1w, 1mo, 1q or 1y"
_CLOCK = {"us": 1, "ms": 1000, "s": SECOND, "min": 60 * SECOND, "h": 3600 * SECOND, "d": DAY, "w": WEEK}
_MONTHS = {"mo": 1, "q": 3, "y": 12}
_OTHER_NAMES = {"M": "mo", "MS": "mo", "ME": "mo", "QS": "q", "QE": "q", "YS": "y", "YE": "y", "T": "min", "sec": "s"}


class Frequency(NamedTuple):
    """The distance of two steps: `size` microseconds of the clock, months of the calendar, or plain numbers.

    >>> parse_frequency("15min").season, parse_frequency("1mo").season
    (96, 12)
    """

    unit: str  # "us", "mo" or "" for numbers
    size: float

    def __str__(self) -> str:
        """As `parse_frequency` reads it."""
        if self.unit == "us":
            name, size = max(((n, s) for n, s in _CLOCK.items() if self.size % s == 0), key=lambda pair: pair[1])
            return f"{self.size / size:g}{name}"
        return f"{self.size:g}{self.unit}"

    @property
    def season(self) -> int:
        """Steps of the season that is usual for the frequency.

        A day for what is faster, a week for days, a year for weeks, months and quarters; 1, no season, for years, for
        what is faster than a minute, and for series without time stamps.
        """
        if self.unit == "mo":
            return max(1, round(12 / self.size))
        if self.unit == "us" and self.size >= _CLOCK["min"]:
            whole = DAY if self.size < DAY else WEEK if self.size < WEEK else YEAR
            return max(1, round(whole / self.size))
        return 1

    def positions(self, times: Times) -> NDArray[np.float64]:
        """[N], where the times lie on a ruler whose unit is the frequency.

        Months count as equally long where all stamps lie on the same day of the month or all on the last.
        """
        if self.unit == "mo":
            months, fractions, _ = _by_month(times)
            return (months + fractions) / self.size
        plain = times.astype(np.int64) if self.unit == "us" else times
        return plain.astype(np.float64) / self.size

    def after(self, times: Times, count: int) -> Times:
        """The `count` times that follow the last of `times`."""
        steps = np.arange(1, count + 1)
        if self.unit != "mo":
            return times[-1] + (steps * int(self.size) if self.unit == "us" else steps * self.size)  # type: ignore[no-any-return]
        month = times[-1].astype("datetime64[M]") + steps * int(self.size)
        start, end = month.astype(times.dtype), (month + 1).astype(times.dtype)
        within = (times - times.astype("datetime64[M]").astype(times.dtype)).max()
        # the last day of a short month stands for the days that it lacks
        return np.minimum(start + within, end - np.timedelta64(1, "D") + within % np.timedelta64(1, "D"))  # type: ignore[no-any-return]


def parse_frequency(text: str | int | float) -> Frequency:
    """The frequency of a name like 15min.

    Raises UserError for a name that says none.

    >>> str(parse_frequency("MS")), str(parse_frequency("60min"))
    ('1mo', '1h')
    """
    found = re.fullmatch(r"\s*(\d*\.?\d*)\s*([A-Za-z]*)(?:-[A-Za-z]{3})?\s*", str(text))
    if found and (found[1] or found[2]) and found[1] != ".":
        count = float(found[1] or 1)
        name = _OTHER_NAMES.get(found[2], found[2].lower() if found[2] != "m" else "m")
        if count > 0 and not name:
            return Frequency("", count)
        if count > 0 and name in _CLOCK and count * _CLOCK[name] >= 1:
            return Frequency("us", round(count * _CLOCK[name]))
        if count > 0 and name in _MONTHS and count == int(count):
            return Frequency("mo", int(count) * _MONTHS[name])
    raise UserError("data.frequency", _EXAMPLE, repr(text), fix="data.frequency=null, to have it detected")


def detect_frequency(series: Sequence[Times]) -> Frequency | None:
    """The median distance of neighbouring times over all series, or None where no series has two.

    Distances of 28 to 31 days, or of as many as 3, 6 or 12 months have, are months of the calendar where the stamps
    keep to a day of the month or to its end.

    >>> days = np.array(["2024-01-31", "2024-02-29", "2024-03-31"], "datetime64[us]")
    >>> str(detect_frequency([days]))
    '1mo'
    """
    gaps = [np.diff(times) for times in series if len(times) > 1]
    if not gaps:
        return None
    if not np.issubdtype(series[0].dtype, np.datetime64):
        return Frequency("", float(np.median(np.concatenate(gaps))))
    # the lower of two middle ones, which is a distance that there is
    found = np.concatenate(gaps).astype(np.int64)
    middle = int(np.partition(found, (len(found) - 1) // 2)[(len(found) - 1) // 2])
    for months in (1, 3, 6, 12):
        least = {1: 28, 3: 89, 6: 181, 12: 365}[months]
        most = {1: 31, 3: 92, 6: 184, 12: 366}[months]
        if least * DAY <= middle <= most * DAY and all(_by_month(times)[2] for times in series):
            return Frequency("mo", months)
    return Frequency("us", middle)


def frequency_of(series: Sequence[Times | None], given: Frequency | None, *, dated: bool) -> Frequency | None:
    """The frequency that was given, or else the one found in the times of some series.

    Raises UserError for one that does not fit the times, or for times that are not `dated` where they must be.
    """
    times = [one for one in series if one is not None]
    found = given or (detect_frequency(times) if times else None)
    if times and found is not None and bool(found.unit) != (times[0].dtype.kind == "M"):
        what = "time stamps" if found.unit == "" else "plain numbers"
        raise UserError("data.frequency", f"one for {what}", repr(str(found)), fix="data.frequency=null")
    if dated and not any(one.dtype.kind == "M" for one in times):
        fix = "data.time_features=false, or data.time=column"
        raise UserError("data.time_features", "time stamps", "a file without them", fix=fix)
    return found


def _by_month(times: Times) -> tuple[NDArray[np.int64], NDArray[np.float64], bool]:
    """The month of each time, the part of the month before it, and whether all lie at the same place in theirs."""
    month = times.astype("datetime64[M]")
    start = month.astype(times.dtype)
    length = (month + 1).astype(times.dtype) - start
    within = times - start
    clock = within % np.timedelta64(1, "D")
    at_the_end = bool(np.all(within >= length - np.timedelta64(1, "D")))
    if np.all(clock == clock[:1]) and (np.all(within == within[:1]) or at_the_end):
        return month.astype(np.int64), np.zeros(len(times)), True
    return month.astype(np.int64), within / length, False
