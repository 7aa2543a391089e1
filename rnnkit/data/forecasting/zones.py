"""Conversion between local time and UTC."""

from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.frequency import Times
from rnnkit.data.io.times.stamps import Stamps
from rnnkit.errors import UserError

_SLOT = np.timedelta64(15, "m")  # offsets change only at multiples of it


def time_zone(name: str) -> ZoneInfo:
    """The zone of this name.

    Raises:
        UserError: there is no such zone, or this machine has no list of zones.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        expected = "a name of the IANA time zone database (pip install tzdata if it is missing)"
        raise UserError("data.times.zone", expected, repr(name), fix="data.times.zone=Europe/Berlin") from error


def offsets_at(times: Times, zone: ZoneInfo) -> NDArray[Any]:
    """The offsets of local time from UTC at times in UTC, [N].

    >>> summer = np.array(["2024-07-01T12:00"], "datetime64[us]")
    >>> offsets_at(summer, ZoneInfo("Europe/Berlin")).astype("timedelta64[h]")
    array([2], dtype='timedelta64[h]')
    """
    return _by_slot(times, lambda time: time.replace(tzinfo=ZoneInfo("UTC")).astimezone(zone).utcoffset())


def offsets_of_local(local: Times, zone: ZoneInfo) -> tuple[NDArray[Any], NDArray[Any]]:
    """The offsets of local times from UTC, [N] each, for the first and the second occurrence of a local time.

    The second offset is smaller in a repeated hour, and larger in a skipped hour. Otherwise, both are equal.
    """
    first = _by_slot(local, lambda time: time.replace(tzinfo=zone).utcoffset())
    return first, _by_slot(local, lambda time: time.replace(tzinfo=zone, fold=1).utcoffset())


def localized(
    stamps: Stamps, zone: ZoneInfo, groups: Iterable[tuple[str, NDArray[np.int64]]]
) -> tuple[Stamps, int | None]:
    """Convert times without a zone to a zone. Return them and the first row whose local time does not exist.

    In a repeated hour, the second occurrence in a series is the later time.
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
