"""Time zones: from what a local clock shows to time itself, and back."""

from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.frequency import Times
from rnnkit.data.forecasting.stamps import Stamps
from rnnkit.errors import UserError

_SLOT = np.timedelta64(15, "m")  # clocks change at its multiples only


def time_zone(name: str) -> ZoneInfo:
    """The zone of this name; UserError where there is none, or no list of zones on this machine."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        expected = "a name of the IANA list (pip install tzdata, where a machine has none)"
        raise UserError("data.time_zone", expected, repr(name), fix="data.time_zone=Europe/Berlin") from error


def offsets_at(times: Times, zone: ZoneInfo) -> NDArray[Any]:
    """[N], by how much the local clock is ahead at these times of UTC.

    >>> summer = np.array(["2024-07-01T12:00"], "datetime64[us]")
    >>> offsets_at(summer, ZoneInfo("Europe/Berlin")).astype("timedelta64[h]")
    array([2], dtype='timedelta64[h]')
    """
    return _by_slot(times, lambda time: time.replace(tzinfo=ZoneInfo("UTC")).astimezone(zone).utcoffset())


def offsets_of_local(local: Times, zone: ZoneInfo) -> tuple[NDArray[Any], NDArray[Any]]:
    """[N] each, by how much the local clock is ahead where it shows these times: for the first time, and the second.

    The second differs, and is smaller, where an hour repeats; it is larger where the clock never shows the time.
    """
    first = _by_slot(local, lambda time: time.replace(tzinfo=zone).utcoffset())
    return first, _by_slot(local, lambda time: time.replace(tzinfo=zone, fold=1).utcoffset())


def localized(
    stamps: Stamps, zone: ZoneInfo, groups: Iterable[tuple[str, NDArray[np.int64]]]
) -> tuple[Stamps, int | None]:
    """The times of rows that name no zone in this one, and the first row whose time its clock never shows.

    Of an hour that repeats, the time that comes second in a series is the later one.
    """
    known = np.zeros(len(stamps.times), bool) if stamps.offsets is None else ~np.isnat(stamps.offsets)
    first, second = offsets_of_local(stamps.times, zone)
    skipped = (second > first) & ~known
    if skipped.any():
        return stamps, int(skipped.argmax())
    twice = (second < first) & ~known
    offsets = first
    if twice.any():
        for _, rows in groups:
            rows = rows[::-1] if len(rows) and stamps.times[rows[0]] > stamps.times[rows[-1]] else rows
            seen = set()
            for row in rows[twice[rows]].tolist():
                if stamps.times[row] in seen:
                    offsets[row] = second[row]
                seen.add(stamps.times[row])
    times = np.where(known, stamps.times, stamps.times - offsets)
    return Stamps(times, offsets_at(times, zone)), None


def _by_slot(times: Times, offset: Any) -> NDArray[Any]:
    slots, which = np.unique(times.astype("datetime64[us]").astype(np.int64) // _microseconds(), return_inverse=True)
    starts = (slots * _microseconds()).astype("datetime64[us]").tolist()
    return np.array([offset(start) for start in starts], "timedelta64[us]")[which]


def _microseconds() -> int:
    return int(_SLOT / np.timedelta64(1, "us"))
