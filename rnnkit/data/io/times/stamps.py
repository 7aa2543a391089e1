"""Parsing and formatting of time stamps."""

import re
import warnings
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.io.times.compact import read_compact
from rnnkit.data.io.times.fixed import read_fixed

Times = NDArray[Any]
"""Times [N]: float64 numbers or `datetime64[us]`."""

NUMBER = "number"
EPOCHS = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 0.001}
"""Formats of times that count from 1970, and their units in microseconds."""
_DATES = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y %m %d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d%b%Y", "%b %d, %Y", "%b %d %Y"),
    *(
        "%d %B %Y",
        "%B %d, %Y",
        "%Y-%m",
        "%Y/%m",
        "%Y %m",
        "%m/%Y",
        "%m-%Y",
        "%b %Y",
        "%B %Y",
        "%b-%Y",
        "%b-%y",
        "%Y %b",
        "%Y-%j",
        "%Y/%j",
        "%Y %j",
    ),
    *("%YQ%q", "%Y-Q%q", "%Y Q%q", "Q%q %Y", "Q%q-%Y", "Q%q/%Y", "%G-W%V", "%GW%V", "%G W%V", "%Y%m%d"),
)
_CLOCKS = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p", "%H.%M.%S", "%H.%M", "%H")
_CLOCK = re.compile(r"(.*\d)(T| |, )(\d{1,2}(?:[:.]\d\d){0,2}(?:\.\d+)?(?: ?[AaPp][Mm])?)")
_ZONE = re.compile(r"(?<=\d)\s?(Z|UTC|GMT|[+-]\d\d:?\d\d)$")
_ZONES = ("%:z", "%z", "Z", " UTC", " GMT")


class Stamps(NamedTuple):
    """The times of a column.

    Attributes:
        times: [N], float64 numbers, or `datetime64[us]` in UTC if `offsets` are known, else in local time.
        offsets: [N] `timedelta64[us]`, the offset of local time from UTC; None if the file has no zone.
    """

    times: Times
    offsets: NDArray[Any] | None


def possible_formats(cell: str) -> list[str]:
    """The possible formats of a cell. There are several if day and month are ambiguous.

    >>> possible_formats("2024-01-31 23:00"), possible_formats("1/2/2024")
    (['%Y-%m-%d %H:%M'], ['%d/%m/%Y', '%m/%d/%Y'])
    """
    text, zone = _without_zone(cell.strip())
    shapes = [date for date in _DATES if _parsed(text, date)]
    if parts := _CLOCK.fullmatch(text):
        clocks = [clock for clock in _CLOCKS if _parsed(parts[3], clock)]
        if clocks and not shapes:
            shapes = [date + parts[2] + clock for date in _DATES if _parsed(parts[1], date) for clock in clocks]
    return [shape + zone for shape in shapes]


def read_stamp(cell: str, time_format: str) -> tuple[datetime, timedelta | None] | None:
    """Parse a cell to its local time and its offset; None if it does not match the format."""
    text = cell.strip()
    if time_format.startswith("%Y-%m-%d"):  # any ISO time, because some files omit a zero fraction of a second
        try:
            stamp = datetime.fromisoformat(text)
            return stamp.replace(tzinfo=None), stamp.utcoffset()
        except ValueError:
            pass
    zone = next((zone for zone in _ZONES if time_format.endswith(zone)), "")
    form = time_format.removesuffix(zone)
    plain, found = _without_zone(text)
    if (local := _parsed(text, form)) is not None:
        return local, None
    if not found or (local := _parsed(plain, form)) is None:
        return None
    zone = text[len(plain) :].strip()
    return local, datetime.strptime(zone if zone[0] in "+-" else "+0000", "%z").utcoffset()


def read_stamps(cells: Sequence[str], time_format: str) -> tuple[Stamps, int | None]:
    """Parse cells. Return their times and the first row that is not a time.

    If only some cells have a zone, the offset of the others is NaT.
    """
    has_zone = any(time_format.endswith(zone) for zone in _ZONES if zone)
    local = None if has_zone else read_fixed(cells, time_format)
    if local is None:
        local = _fast(cells, time_format)
    if local is not None:
        return Stamps(local, None), None
    known: dict[str, tuple[datetime, timedelta | None] | None] = {}
    found = []
    for row, cell in enumerate(cells):
        if cell not in known:
            known[cell] = read_stamp(cell, time_format)
        stamp = known[cell]
        if stamp is None:
            return Stamps(np.zeros(0, "datetime64[us]"), None), row
        found.append(stamp)
    times = np.array([time for time, _ in found], "datetime64[us]")
    if all(offset is None for _, offset in found):
        return Stamps(times, None), None
    offsets = np.array([offset for _, offset in found], "timedelta64[us]")
    return Stamps(np.where(np.isnat(offsets), times, times - offsets), offsets), None


def read_numbers(values: NDArray[np.float64], time_format: str) -> Times | None:
    """Convert numbers to times: plain, counts since 1970, or dates without separators; None if they do not match.

    >>> read_numbers(np.array([20240131.0]), "%Y%m%d").astype(str).tolist()
    ['2024-01-31T00:00:00.000000']
    """
    if time_format == NUMBER:
        return values
    if time_format in EPOCHS:
        return np.round(values * EPOCHS[time_format]).astype(np.int64).astype("datetime64[us]")
    return read_compact(values, time_format)


def write_stamps(times: Times, offsets: NDArray[Any] | None, time_format: str | None) -> list[str | int | float]:
    """Format times as in their file. The time of day is added if the format omits it and it is needed.

    >>> days = np.array(["2024-01-31", "2024-02-29"], "datetime64[us]")
    >>> write_stamps(days, None, "%d.%m.%Y"), write_stamps(days, None, "s")
    (['31.01.2024', '29.02.2024'], [1706659200, 1709164800])
    """
    if times.dtype.kind != "M":
        return [int(time) if float(time).is_integer() else float(time) for time in times]
    if time_format in EPOCHS:
        numbers = times.astype(np.int64) / EPOCHS[time_format]
        return [int(number) if number.is_integer() else number for number in numbers.tolist()]
    local = times if offsets is None else times + offsets
    form = time_format or "%Y-%m-%d %H:%M:%S%:z"
    zone = next((zone for zone in _ZONES if form.endswith(zone)), "")
    form = form.removesuffix(zone)
    loses = [unit for unit in ("M", "D", "m", "s", "ms") if (local.astype(f"datetime64[{unit}]") != local).any()]
    if "%H" not in form and "%I" not in form and "D" in loses:
        form = "%Y-%m-%d %H:%M:%S" + (".%f" if "s" in loses else "")
    elif not any(name in form for name in ("%d", "%j", "%q", "%V")) and "M" in loses:
        form = "%Y-%m-%d"
    elif "%S" not in form and "m" in loses and form.endswith("%M"):
        form += ":%S" + (".%f" if "s" in loses else "")
    elif "%f" not in form and "s" in loses and form.endswith("%S"):
        form += ".%f"
    if form.endswith("%f") and "ms" not in loses:
        form = form.removesuffix("%f") + "%3f"
    ahead = [None] * len(local) if offsets is None else offsets.astype("timedelta64[s]").astype(int).tolist()
    return [_written(time, form, zone, seconds) for time, seconds in zip(local.tolist(), ahead, strict=True)]


def _written(time: datetime, form: str, zone: str, ahead: int | None) -> str:
    number_of_quarter = str((time.month + 2) // 3)
    form = form.replace("%q", number_of_quarter).replace("%Y", f"{time.year:04}")
    text = time.strftime(form.replace("%3f", f"{time.microsecond // 1000:03}"))
    if ahead is None:
        return text
    if zone in ("Z", " UTC", " GMT") and ahead == 0:
        return text + zone
    sign, (hours, minutes) = "-" if ahead < 0 else "+", divmod(abs(ahead) // 60, 60)
    return f"{text}{sign}{hours:02}{'' if zone == '%z' else ':'}{minutes:02}"


def _parsed(text: str, form: str) -> datetime | None:
    try:
        if "%j" in form and not re.search(r"(?<!\d)\d{3}(?!\d)", text):  # strptime would parse 2024-01 as the first day
            return None
        if form.startswith("%G"):
            return datetime.strptime(f"{text} 1", f"{form} %u")
        if "Q%q" in form:
            text, form = re.sub(r"Q([1-4])", lambda q: f"Q{3 * int(q[1]) - 2:02}", text), form.replace("Q%q", "Q%m")
        return datetime.strptime(text, form)
    except ValueError:
        return None


def _without_zone(text: str) -> tuple[str, str]:
    """The text without its zone, and the format directive of the zone."""
    found = _ZONE.search(text)
    if not found or (found[1][0] in "+-" and ":" not in text[: found.start()]):
        return text, ""
    if found[1][0] in "+-":
        return text[: found.start()], "%:z" if ":" in found[1] else "%z"
    return text[: found.start()], found[0]


def _fast(cells: Sequence[str], time_format: str) -> Times | None:
    """Parse ISO times without a zone with NumPy; None if a cell is not such a time."""
    if not time_format.startswith("%Y-%m"):
        return None
    stripped = [cell.strip() for cell in cells]
    if any(cell[4:5] != "-" for cell in stripped):  # NumPy would parse 20240131 as a year
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # for zones, which NumPy ignores
            times = np.array(stripped, "datetime64[us]")
    except (ValueError, UserWarning, DeprecationWarning):
        return None
    return None if np.isnat(times).any() else times
