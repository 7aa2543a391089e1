"""Detection of the frequency of series."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.frequency import BUSINESS, DAY, SECOND, YEAR, Frequency, Times
from rnnkit.data.forecasting.grid import Grid
from rnnkit.errors import UserError

_ENOUGH = 1 << 20
_MANY = 1000
"""The number of times per series, and of series, that the detection uses."""


def detect_frequency(series: Sequence[Times], local: Sequence[Times] | None = None) -> Frequency | None:
    """The frequency whose grid contains the most times, or None if no series has two times.

    The candidates are the most frequent distance of neighboring times, and the mean of the distances close to the
    median. For days with weekdays that are always missing, working days are a candidate; for 28 days and more, months.

    Args:
        series: the times of each series, in UTC if known.
        local: the same times in local time, for days and longer; None uses `series`.

    >>> days = np.array(["2024-01-31", "2024-02-29", "2024-03-31"], "datetime64[us]")
    >>> str(detect_frequency([days]))
    '1mo-31'
    """
    gaps = _gaps(series)
    if not len(gaps):
        return None
    series, local = series[:_MANY], (local or series)[:_MANY]
    if series[0].dtype.kind != "M":
        return _best([Frequency("", size) for size in _usual(gaps)], series, series)
    found = [Frequency("us", size) for size in _usual(gaps)]
    if found[0].size >= 20 * 3600 * SECOND:
        days = _usual(_gaps(local))
        found = [*_calendar(local, days[0]), *(Frequency("us", size) for size in days), *found]
    return _best(found, series, local)


def _best(candidates: Sequence[Frequency], series: Sequence[Times], local: Sequence[Times]) -> Frequency:
    """The candidate whose grid contains the most times, or the first of several."""

    def fit(frequency: Frequency) -> float:
        rulers = [times[:_ENOUGH] for times in (local if frequency.is_local else series) if len(times) > 1]
        off, near = np.concatenate([Grid(frequency, times).off(times) for times in rulers], 1)
        few_beside = 0.1 if frequency.unit == "b" else 0.0  # a row on a day off does not make it a working day
        return float((off == 0).mean() + near.mean() + few_beside)

    return candidates[0] if len(candidates) == 1 else max(candidates, key=fit)


def _calendar(local: Sequence[Times], size: float) -> Iterator[Frequency]:
    """The candidates among months and working days for a distance, the more probable ones first."""
    months = round(size / (YEAR / 12))
    if months >= 1 and abs(size / (YEAR / 12) - months) < 0.1 * min(months, 2):
        day = Grid(Frequency("mo", months), np.concatenate(local)).day
        yield Frequency("mo", months, day)
        yield Frequency("mo", months)  # the day is determined per series
        yield Frequency("mo", months, 31, BUSINESS)
        yield Frequency("mo", months, 1, BUSINESS)
    elif size <= 6 * DAY:
        week = _working_week(local)
        if "0" in week:
            yield Frequency("b", 1, None, week)


def _working_week(local: Sequence[Times]) -> str:
    """The days of the week with rows. A weekday is a day off if it is missing more often than by chance."""
    present, possible = np.zeros(7), np.zeros(7)
    for times in local:
        dates = np.unique(times.astype("datetime64[D]"))
        first, days = (
            int(dates[0].astype(int)) + 3,
            int((dates[-1] - dates[0]).astype(int)) + 1,
        )  # 1970 began on a Thursday
        possible += days // 7
        possible[(first + np.arange(days % 7)) % 7] += 1
        present += np.bincount((dates.astype(int) + 3) % 7, minlength=7)
    share = present / np.maximum(possible, 1)
    off = (share <= 0.05 * share.max()) & (possible > 0)
    if not off.any() or off.sum() > 5 or share[~off].mean() < 0.5:
        return "1111111"
    chance = (1 - share[~off].mean()) ** possible[off].sum()
    is_known = possible[off].sum() >= 2 and chance < 0.01
    return "".join("0" if is_known and is_off else "1" for is_off in off)


def frequency_of(
    series: Sequence[Times | None], local: Sequence[Times], given: Frequency | None, *, dated: bool
) -> Frequency | None:
    """The given frequency, or else the detected one.

    Args:
        series: the times of each series, in UTC if known.
        local: the same times in local time.
        given: the frequency of the user, or None.
        dated: whether calendar features need time stamps.

    Raises:
        UserError: the frequency does not fit the kind of times, or calendar features need time stamps.
    """
    times = [one for one in series if one is not None]
    found = given or (detect_frequency(times, local) if times else None)
    if times and found is not None and bool(found.unit) != (times[0].dtype.kind == "M"):
        what = "time stamps" if found.unit == "" else "plain numbers"
        raise UserError("data.times.frequency", f"one for {what}", repr(str(found)), fix="data.times.frequency=null")
    if dated and not any(one.dtype.kind == "M" for one in times):
        fix = "data.covariates.time_features=false, or data.time=column"
        raise UserError("data.covariates.time_features", "time stamps", "a file without them", fix=fix)
    return found


def _gaps(series: Sequence[Times]) -> NDArray[Any]:
    gaps = np.concatenate([np.diff(times) for times in series if len(times) > 1] or [np.zeros(0)])
    gaps = gaps.astype(np.int64) if gaps.dtype.kind == "m" else gaps
    return gaps[gaps > 0]


def _usual(gaps: NDArray[Any]) -> list[float]:
    """Candidates for the distance of steps: the most frequent one, and the mean of those close to the median."""
    is_float = gaps.dtype.kind == "f"
    unit = 10.0 ** (math.floor(math.log10(np.median(gaps))) - 6) if is_float else 1
    whole = np.round(gaps / unit).astype(np.int64) if is_float else gaps
    found, counts = np.unique(whole, return_counts=True)
    common = float(f"{gaps[whole == found[counts.argmax()]].mean():.9g}") if is_float else int(found[counts.argmax()])
    if 10 * counts.max() >= 9 * len(gaps) or (not is_float and common >= DAY):
        return [common]
    middle = np.sort(gaps)[(len(gaps) - 1) // 2]
    mean = float(gaps[(gaps > 0.5 * middle) & (gaps < 1.5 * middle)].mean())
    if is_float:
        return [*([common] if 20 * counts.max() > len(gaps) else []), float(f"{mean:.9g}")]
    plain = next((unit for unit in (60 * SECOND, SECOND, 1000) if mean > 10 * unit), 1)  # 5 minutes, not 4:59.998
    rounded = round(mean / plain) * plain
    rough = [rounded] if abs(rounded - mean) < 0.01 * mean else []
    return [common, *rough, mean if mean < SECOND else round(mean / SECOND) * SECOND]
