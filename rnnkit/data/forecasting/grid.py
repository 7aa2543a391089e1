"""Grids of equally spaced times."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.frequency import DAY, SECOND, WEEK, Frequency, Times

NEAR = 0.1
"""The largest deviation of a time from its grid point, as a fraction of a step or, for longer steps, of a day."""


class Grid:
    """The grid with a given frequency that contains the most times of a series. Grid points are numbered.

    >>> from rnnkit.data.forecasting.frequency import parse_frequency
    >>> days = np.array(["2023-12-30", "2024-01-30", "2024-03-30"], "datetime64[us]")
    >>> grid = Grid(parse_frequency("1mo"), days)
    >>> grid.at(grid.index(days[-1:])[0] - np.arange(3)).astype("datetime64[D]").astype(str).tolist()
    ['2024-03-30', '2024-02-29', '2024-01-30']
    """

    def __init__(self, frequency: Frequency, times: Times) -> None:
        self.frequency = frequency
        unit, size = frequency.unit, frequency.size
        if unit in ("b", "mo"):
            date = times.astype("datetime64[D]")
            self._clock = _most_often(times - date)
        if unit == "b":
            steps = _working_days(date, frequency.week)
            self._phase = int(_most_often(steps[np.is_busday(date, weekmask=frequency.week)] % int(size)) or 0)
        elif unit == "mo":
            self._phase = int(_most_often(times.astype("datetime64[M]").astype(np.int64) % int(size)) or 0)
            self.day = _day_of_month(date) if frequency.day is None else frequency.day
        elif unit == "us":
            self._base = times[0] - _shift(times.astype(np.int64), size, frequency.day)
        else:
            self._base = times[0] - _shift(times, size, None)

    def index(self, times: Times) -> NDArray[np.int64]:
        """The number of the grid point of each time: the nearest, that of its month, or the last working day."""
        unit, size = self.frequency.unit, self.frequency.size
        if unit == "mo":
            month: NDArray[np.int64] = times.astype("datetime64[M]").astype(np.int64)
            return (month - self._phase) // int(size)
        if unit == "b":
            date, week = times.astype("datetime64[D]"), self.frequency.week
            steps = _working_days(date, week) - ~np.is_busday(date, weekmask=week)
            return (steps - self._phase + int(size) // 2) // int(size)
        since = times - self._base
        if unit == "us" and size == int(size):
            whole: NDArray[np.int64] = since.astype(np.int64)
            return (whole + int(size) // 2) // int(size)
        return np.rint((since.astype(np.int64) if unit == "us" else since) / size).astype(np.int64)  # type: ignore[no-any-return]

    def at(self, index: NDArray[np.int64]) -> Times:
        """The times of grid points."""
        unit, size = self.frequency.unit, self.frequency.size
        if unit == "":
            places = self._base + index * size
            digits = 12 - int(np.ceil(np.log10(max(np.abs(places).max(initial=0), size))))
            return np.round(places, digits)  # type: ignore[no-any-return]  # 0.3, not 0.30000000000000004
        if unit == "us":
            steps = index * int(size) if size == int(size) else np.rint(index * size).astype(np.int64)
            return self._base + steps.astype("timedelta64[us]")  # type: ignore[no-any-return]
        if unit == "b":
            steps = index * int(size) + self._phase
            date = np.busday_offset(np.datetime64("1970-01-01"), steps, roll="forward", weekmask=self.frequency.week)
            return date.astype("datetime64[us]") + self._clock  # type: ignore[no-any-return]
        month = (index * int(size) + self._phase).astype("datetime64[M]")
        last = (month + 1).astype("datetime64[D]") - 1
        date = np.minimum(month.astype("datetime64[D]") + (self.day - 1), last)
        if self.frequency.week:
            if self.day == 31:
                date = np.busday_offset(date, 0, roll="backward", weekmask=self.frequency.week)
            else:
                date = np.busday_offset(date, 0, roll="forward", weekmask=self.frequency.week)
        return date.astype("datetime64[us]") + self._clock  # type: ignore[no-any-return]

    def off(self, times: Times) -> NDArray[np.float64]:
        """The deviations [2, N] of times from their grid points in steps, and 1 if within tolerance, else 0."""
        place = self.index(times)
        here, following = self.at(place), self.at(place + 1)
        step = following - here
        step = np.where(step > np.zeros((), step.dtype), step, np.ones((), step.dtype))  # at the resolution of numbers
        off = (times - here) / step
        if times.dtype.kind == "M" and self.frequency.size != int(self.frequency.size):
            off = np.where(np.abs(times - here) <= np.timedelta64(1, "us"), 0, off)  # rounding to microseconds
        elif times.dtype.kind != "M":
            off = np.where(np.abs(off) < 1e-6 + 1e-12 * np.abs(times / self.frequency.size), 0, off)
        near = np.abs(off) <= NEAR
        if times.dtype.kind == "M":
            near &= np.abs(times - here) <= np.timedelta64(int(NEAR * DAY), "us")
        return np.stack([off, near])

    def positions(self, times: Times) -> NDArray[np.float64]:
        """The times in units of steps, [N]."""
        return self.index(times) + self.off(times)[0]  # type: ignore[no-any-return]


def _shift(values: NDArray[Any], size: float, weekday: int | None) -> Any:
    """The offset of the first value from its grid point."""
    if weekday is not None:  # for weeks, at the most frequent time of day
        clock = int(_most_often(values % DAY))
        phase = (weekday + 4) * DAY + clock  # 1970 began on a Thursday
        return _centered(int((values[0] - phase) % int(size)), WEEK).astype("timedelta64[us]")
    exact = values.dtype.kind == "i" and size == int(size)
    phases = values % int(size) if exact else np.round(((values - values[0]) / size) % 1, 6) % 1 * size
    found, counts = np.unique(phases, return_counts=True)
    phase = found[counts.argmax()]
    if 2 * counts.max() < len(values):  # without a most frequent one, the middle of all
        angle = np.angle(np.exp(2j * np.pi * phases / size).mean())
        phase = angle / (2 * np.pi) * size % size
    shift = _centered(phases[0] - phase, size)
    if values.dtype.kind != "i":
        return shift
    unit = SECOND if size >= 10 * SECOND and not exact else 1
    return np.rint(shift / unit).astype(np.int64).astype("timedelta64[us]") * unit


def _centered(shift: Any, size: float) -> Any:
    """A shift of at most half a step in either direction."""
    return np.asarray((shift + size / 2) % size - size / 2)


def _day_of_month(dates: NDArray[Any]) -> int:
    """The most frequent day of the month. The last day of a short month counts for the missing days."""
    month = dates.astype("datetime64[M]")
    day = (dates - month.astype("datetime64[D]")).astype(np.int64) + 1
    length = ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.int64)
    if (day == length).all():
        return 31
    days: list[int] = np.unique(day).tolist()
    return max(days, key=lambda one: int((np.minimum(one, length) == day).sum()))


def _working_days(dates: NDArray[Any], week: str) -> NDArray[np.int64]:
    """The number of working days since 1970 before each date, [N]."""
    return np.busday_count(np.datetime64("1970-01-01"), dates, weekmask=week).astype(np.int64)


def _most_often(values: NDArray[Any]) -> Any:
    found, counts = np.unique(values, return_counts=True)
    return found[counts.argmax()] if len(found) else 0
