"""Frequencies of series: a duration, working days, months, or plain numbers."""

import math
import re
from typing import NamedTuple

from rnnkit.data.io.times.stamps import Times as Times
from rnnkit.errors import UserError

SECOND = 1_000_000
DAY = 86_400 * SECOND
WEEK = 7 * DAY
YEAR = 365.25 * DAY
BUSINESS = "1111100"
"""The working days of a week, from Monday."""
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_EXAMPLE = "1s, 15min, 1h, 1d, 1b (Monday to Friday), 1w, 1mo, 1q or 1y"
_CLOCK = {"us": 1, "ms": 1000, "s": SECOND, "min": 60 * SECOND, "h": 3600 * SECOND, "d": DAY, "w": WEEK}
_MONTHS = {"mo": 1, "q": 3, "y": 12}
_FIRST_DAY = {"MS": "mo", "QS": "q", "YS": "y", "AS": "y"}
_LAST_DAY = {"ME": "mo", "QE": "q", "YE": "y"}
_OTHER_NAMES = {"M": "mo", "T": "min", "sec": "s", "B": "b", "C": "b", "A": "y", "BMS": "mo", "BME": "mo", "BM": "mo"}


class Frequency(NamedTuple):
    """The distance between two steps: `size` microseconds, working days, months, or plain numbers.

    Attributes:
        unit: "us", "b", "mo", or "" for numbers.
        day: for months, the day of a step, where 31 is the last; for weeks, the weekday, where 0 is Monday. None if it
            depends on the series.
        week: the working days of a week. For months, a step moves to a working day (the last day backward, other days
            forward), or "" for no such rule.

    >>> parse_frequency("15min").season, parse_frequency("1mo").season, parse_frequency("1b").season
    (96, 12, 5)
    """

    unit: str  # "us", "b", "mo" or "" for numbers
    size: float
    day: int | None = None
    week: str = ""

    def __str__(self) -> str:
        """The name of the frequency, as `parse_frequency` reads it."""
        if self.unit == "us":
            names = ((name, size) for name, size in _CLOCK.items() if self.size % size == 0)
            name, size = max(names, key=lambda pair: pair[1], default=("us", 1))
            weekday = f"-{DAYS[self.day].upper()}" if self.day is not None else ""
            return f"{self.size / size:.12g}{name}{weekday}"
        if self.unit == "b":
            return f"{self.size:g}b" + ("" if self.week == BUSINESS else f"-{self.week}")
        if self.unit == "mo" and self.week:
            return f"{self.size:g}{'BMS' if self.day == 1 else 'BME'}"
        return f"{self.size:g}{self.unit}" + ("" if self.day is None else f"-{self.day}")

    @property
    def meaning(self) -> str:
        """A description of what the name does not include, or ""."""
        if self.unit == "b":
            return ", ".join(day for day, works in zip(DAYS, self.week, strict=True) if works == "1")
        if self.unit == "mo" and self.day is not None:
            day = {1: "the first day", 31: "the last day"}.get(self.day, f"day {self.day}")
            return day.replace("day", "working day") if self.week else day
        return ""

    @property
    def season(self) -> int:
        """The number of steps of the default season of the frequency.

        The season is a day for frequencies below a day, a week for days and working days, and a year for weeks, months
        and quarters. It is several days or weeks if one is not a whole number of steps. It is 1 (no season) for years,
        for frequencies below a minute, and for series without time stamps.
        """
        if self.unit == "mo":
            return max(1, round(12 / self.size))
        if self.unit == "b":
            days = self.week.count("1")
            return math.lcm(int(self.size), days) // int(self.size)
        if self.unit == "us" and self.size >= WEEK:
            return max(1, round(YEAR / self.size))
        if self.unit == "us" and self.size >= _CLOCK["min"] and self.size == int(self.size):
            cycle = DAY if self.size < DAY else WEEK
            cycles = math.lcm(int(self.size), cycle) // cycle
            return cycles * cycle // int(self.size) if cycles <= 7 else 1
        return 1

    @property
    def is_local(self) -> bool:
        """Whether steps are equally spaced in local time (days and longer) or in UTC (hours and shorter)."""
        return self.unit in ("b", "mo") or (self.unit == "us" and self.size % DAY == 0)


def parse_frequency(text: str | int | float) -> Frequency:
    """Parse the name of a frequency, such as 15min, or a name of pandas.

    Raises:
        UserError: the name is unknown.

    >>> str(parse_frequency("MS")), str(parse_frequency("60min")), str(parse_frequency("W-SUN"))
    ('1mo-1', '1h', '1w-SUN')
    """
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+|)\s*([A-Za-z]*)(?:-(\w+))?\s*", str(text))
    count = float(found[1] or 1) if found and (found[1] or found[2]) else 0.0
    if found and count > 0:
        given, anchor = found[2], (found[3] or "").upper()
        name = _OTHER_NAMES.get(given) or _FIRST_DAY.get(given) or _LAST_DAY.get(given)
        name = name or (given.lower() if given != "m" else "m")
        weekdays = [day.upper() for day in DAYS]
        if not name and not anchor:
            return Frequency("", count)
        if name == "w" and (anchor in weekdays or not anchor):
            return Frequency("us", round(count * WEEK), weekdays.index(anchor) if anchor else None)
        if name in _CLOCK and count * _CLOCK[name] >= 1 and not anchor:
            size = count * _CLOCK[name]
            return Frequency("us", size if size < SECOND and size != round(size) else round(size))
        if name == "b" and count == int(count) and re.fullmatch(r"(?=.*1)[01]{7}|", anchor):
            return Frequency("b", int(count), None, anchor or BUSINESS)
        if name in _MONTHS and count == int(count):
            day = 1 if given in (*_FIRST_DAY, "BMS") else 31 if given in (*_LAST_DAY, "BME", "BM") else None
            day = int(anchor) if anchor.isdigit() else day
            if day is None or 1 <= day <= 31:
                return Frequency("mo", int(count) * _MONTHS[name], day, BUSINESS if given.startswith("B") else "")
    raise UserError("data.times.frequency", _EXAMPLE, repr(text), fix="data.times.frequency=null, to detect it")
