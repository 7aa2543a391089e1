"""Detection of the time columns of a table and of their format."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.compact import PLAIN, begins_like_dates, compact_formats
from rnnkit.data.forecasting.stamps import EPOCHS, NUMBER, first_cell, possible_formats, read_numbers, read_stamps
from rnnkit.data.forecasting.table import Table, listed
from rnnkit.errors import UserError

_NAMES = frozenset(
    (
        *("date", "dates", "time", "times", "datetime", "timestamp", "timestamps", "ts", "ds", "dt", "utc"),
        *("year", "quarter", "month", "week", "day", "hour", "minute", "period", "unix", "epoch", "unixtime"),
        *("datum", "zeit", "zeitpunkt", "jahr", "monat", "tag", "fecha", "hora", "heure", "jour", "tijd"),
    )
)
"""Words in the names of time columns."""
_COUNTERS = frozenset(("", "index", "idx", "no", "nr", "row", "step", "t", "n", "id", "unnamed: 0", "rownum"))
_FIELDS = ("year", "month", "day", "hour", "minute", "second")
_SAMPLE = 200
_SIGNIFICANT = 10
"""The smallest number of rows for which equal steps are not a coincidence."""
_EPOCH_START, _EPOCH_END = 1e8, 4.1e9  # in seconds: 1973 to 2099

Ascends = Callable[[NDArray[Any]], bool]


class Clock(NamedTuple):
    """The time columns (to be joined with a space), their format, and other columns that also count time."""

    columns: list[str]
    time_format: str
    others: list[str]


def find_clock(
    table: Table, columns: Sequence[str], given: list[str], time_format: str | None, ascends: Ascends, *, asks: bool
) -> Clock | None:
    """Find the time columns of a table.

    Args:
        table: the table.
        columns: the columns without a known role.
        given: the time columns that the user named; empty to detect them.
        time_format: the format that the user gave, or None.
        ascends: a function that checks whether values rise, or fall, within all series.
        asks: whether all columns without a role are forecast, so that a possible time column is an error.

    Returns:
        The clock, or None if there are no time columns.

    Raises:
        UserError: it is ambiguous whether a column has times, or in which format.
    """
    looked_at = [name for name in columns if name not in given]
    found = {name: form for name in looked_at if (form := _dates(table, name, None, ascends)) is not None}
    if given:
        form = time_format or _given_format(table, given, ascends)
        return Clock(given, form, [*found, *_counters(table, looked_at, ascends)])
    if time_format is not None:
        name = next((name for name in looked_at if _reads(table, name, time_format)), None)
        if name is None:
            got = f"none in {table.source}"
            raise UserError("data.time_format", f"a column of times such as {time_format}", got, fix="data.time=column")
        others = [other for other in (*found, *_counters(table, looked_at, ascends)) if other != name]
        return Clock([name], time_format, others)
    fields = _fields(looked_at)
    if fields and all(name in fields for name in found) and (formats := _text_formats(table.joined(fields))):
        return Clock(fields, formats[0], _counters(table, [n for n in looked_at if n not in fields], ascends))
    if found:
        name = next((name for name in found if not table.is_numeric(name)), next(iter(found)))
        form = _dates(table, name, _ask, ascends)
        assert form is not None
        others = [other for other in (*found, *_counters(table, looked_at, ascends)) if other != name]
        if "%d" in form and (pair := _with_time_of_day(table, name, looked_at, ascends)):
            return Clock(*pair, [other for other in others if other not in pair[0]])
        return Clock([name], form, others)
    if counters := _counters(table, looked_at, ascends, beside=False):
        _check_row_numbers(table, counters[0], ascends)
        return Clock(counters[:1], NUMBER, counters[1:])
    if asks:
        _check_numbers(table, looked_at, ascends)
    return None


def _dates(table: Table, name: str, ambiguous: Any, ascends: Ascends) -> str | None:
    """The date format of a column; None if it has no dates.

    If several formats fit equally well, `ambiguous` is called with them. Without it, the first is used.
    """
    cells = table.columns[name]
    if cells.dtype.kind == "M":
        return "%Y-%m-%d" if (cells.astype("datetime64[D]") == cells).all() else "%Y-%m-%d %H:%M:%S"
    if not table.is_numeric(name):
        formats = _text_formats(cells)
        if len(formats) > 1:
            formats = _fitting(cells, formats, ascends)
        return ambiguous(name, formats) if len(formats) > 1 and ambiguous else next(iter(formats), None)
    is_named = bool(_NAMES & set(re.findall(r"[a-z]+", name.lower())))
    if not is_named and not _may_ascend(cells):
        return None
    values = _numbers(table, name)
    if values is None:
        return None
    formats = _numeric_formats(name, values, ascends, is_named=is_named)
    if not formats and is_named:
        _check_compact(table, name, values)
    return ambiguous(name, formats) if len(formats) > 1 and ambiguous else next(iter(formats), None)


def _given_format(table: Table, names: list[str], ascends: Ascends) -> str:
    """The format of the columns that the user named. Plain numbers are the last choice."""
    if len(names) == 1 and (form := _dates(table, names[0], _ask, ascends)):
        return form
    if len(names) == 1 and table.is_numeric(names[0]):
        values = _numbers(table, names[0])
        if values is None:
            return NUMBER
        formats = _numeric_formats(names[0], values, ascends, is_named=True)
        if not formats:
            _check_compact(table, names[0], values)
        return _ask(names[0], formats) if len(formats) > 1 else next(iter(formats), NUMBER)
    cells = table.joined(names)
    formats = _text_formats(cells)
    if not formats:
        row = next((row for row, cell in enumerate(cells) if str(cell or "").strip()), 0)
        raise UserError(
            "data.time",
            f"times in {listed(names)}, such as 2024-12-31 or 31/12/2024 23:00",
            f"{table.place(row)}: {cells[row]!r}",
            fix="data.time_format='%d/%m/%Y %H:%M' or the format of the file, or data.time=another_column",
        )
    formats = _fitting(cells, formats, ascends) if len(formats) > 1 else formats
    return formats[0] if len(formats) == 1 else _ask(names[0], formats)


def _text_formats(cells: NDArray[Any]) -> list[str]:
    """The formats that match the most cells of a sample, if they match more than half."""
    first = first_cell(cells)
    if first is None or not any(letter.isdigit() for letter in first):
        return []
    filled = [cell for cell in cells[:: max(1, len(cells) // _SAMPLE)] if isinstance(cell, str) and cell.strip()]
    formats = possible_formats(first)
    counts = [sum(read_stamps([cell], form)[1] is None for cell in filled) for form in formats]
    most = max(counts, default=0)
    return [form for form, count in zip(formats, counts, strict=True) if count == most and 2 * count > len(filled)]


def _fitting(cells: NDArray[Any], formats: list[str], ascends: Ascends) -> list[str]:
    """The formats that match every cell. If their times differ, those with ascending times."""
    read = {form: read_stamps([str(cell) for cell in cells], form) for form in formats}
    whole = {form: stamps.times for form, (stamps, row) in read.items() if row is None}
    if not whole:
        return formats[:1]
    first = next(iter(whole.values()))
    if all((times == first).all() for times in whole.values()):
        return list(whole)[:1]
    return [form for form, times in whole.items() if ascends(times)] or list(whole)


def _ask(name: str, formats: list[str]) -> str:
    column = listed([name])[1:-1]
    options = ", or ".join(f"data.time={column} data.time_format='{form}'" for form in formats)
    got = "times that match both formats"
    raise UserError("data.time_format", f"one format of the times in column {name!r}", got, fix=options)


def _numeric_formats(name: str, values: NDArray[np.float64], ascends: Ascends, *, is_named: bool) -> list[str]:
    """The formats of numbers that are dates without separators, or counts since 1970."""
    found = compact_formats(values, ascends, is_named=is_named)
    if {"%Y%m", "%G%V"} <= {*found}:  # only the first twelve weeks of a year
        found.remove("%Y%m" if "week" in name.lower() else "%G%V")
    low, high = float(values.min()), float(values.max())
    for unit, size in EPOCHS.items():
        if _EPOCH_START * 1e6 <= low * size <= high * size <= _EPOCH_END * 1e6:
            steps = np.diff(values)
            is_regular = len(steps) > 1 and (np.abs(steps) == np.median(np.abs(steps))).mean() > 0.9
            if not found and (is_named or (ascends(values) and is_regular)):
                return [unit]
    return found


def _check_compact(table: Table, name: str, values: NDArray[np.float64]) -> None:
    """Raise UserError if the first number is a date without separators and others are not dates."""
    compact = begins_like_dates(values[:10_000])
    if compact is None:
        return
    row = next(row for row in range(len(values)) if read_numbers(values[row : row + 1], compact) is None)
    raise UserError(
        "data.time",
        f"dates in column {name!r}, like its first",
        f"{table.place(row)}: {table.columns[name][row]}, which is not a date",
        fix=f"data.time={listed([name])[1:-1]} data.time_format=number, if they are plain numbers, "
        "or correcting the file",
    )


def _counters(table: Table, names: Sequence[str], ascends: Ascends, *, beside: bool = True) -> list[str]:
    """Numeric columns that are named like times or row numbers and are monotonic; `beside` a clock, in equal steps."""
    found = []
    for name in names:
        word = name.strip().lower()
        if word not in _COUNTERS | _NAMES or not table.is_numeric(name):
            continue
        values = _numbers(table, name)
        if values is not None and ascends(values):
            steps = np.abs(np.diff(values))
            if not beside or (steps == np.median(steps)).mean() > 0.8:
                found.append(name)
    return found


def _check_row_numbers(table: Table, name: str, ascends: Ascends) -> None:
    """Raise UserError if a column that is named like a row number may also be a column of dates."""
    values = _numbers(table, name)
    assert values is not None
    formats = compact_formats(values, ascends, is_named=True)
    if any(form in (*PLAIN, "%Y%m", "%Y%j", "%G%V") for form in formats):
        _ask(name, [*formats, NUMBER])


def _check_numbers(table: Table, names: Sequence[str], ascends: Ascends) -> None:
    """Raise UserError if a column of numbers may be a time, if there is no clock and all columns are forecast."""
    numeric = [name for name in names if table.is_numeric(name)]
    for name in numeric if len(numeric) > 1 else ():
        is_named = name.strip().lower() in _NAMES
        if not (is_named or _may_ascend(table.columns[name])):
            continue
        values = _numbers(table, name)
        if values is None or (len(values) < _SIGNIFICANT and not is_named):
            continue
        rises = ascends(values)
        steps = np.abs(np.diff(values))
        is_epoch = any(
            _EPOCH_START * 1e6 <= values.min() * size <= values.max() * size <= _EPOCH_END * 1e6
            for size in EPOCHS.values()
        )
        if is_named or (rises and (is_epoch or (steps == steps[0]).mean() > 0.9)):
            what = (
                "is named like a time"
                if is_named
                else "looks like time stamps"
                if is_epoch
                else "counts in equal steps"
            )
            cells = ", ".join(map(str, table.columns[name][:3]))
            others = listed([other for other in numeric if other != name])
            raise UserError(
                "data.time",
                "a column of times, or none",
                f"{table.source}, whose column {name!r} {what}: {cells}, ...",
                fix=f"data.time={listed([name])[1:-1]} if it is the time, or data.target={others} to skip it",
            )


def _with_time_of_day(table: Table, date: str, names: Sequence[str], ascends: Ascends) -> tuple[list[str], str] | None:
    """The column of dates with a column of times of day, and their joint format."""
    for name in names:
        first = first_cell(table.columns[name]) if table.columns[name].dtype == object else None
        if (
            name != date
            and first is not None
            and re.fullmatch(r"\d{1,2}[:.]\d\d([:.]\d\d)?( ?[AaPp][Mm])?", first.strip())
        ):
            if re.fullmatch(r"\d+\.\d+", first.strip()) and name.strip().lower() not in _NAMES:
                continue  # a number
            return [date, name], _given_format(table, [date, name], ascends)
    return None


def _fields(names: Sequence[str]) -> list[str]:
    """Columns named year, month and so on, starting with the year and without a gap; at least two."""
    by_word = {name.strip().lower(): name for name in names}
    found: list[str] = []
    for field in _FIELDS:
        if field not in by_word:
            break
        found.append(by_word[field])
    return found if len(found) > 1 else []


def _reads(table: Table, name: str, time_format: str) -> bool:
    if table.is_numeric(name) and time_format != NUMBER:
        values = _numbers(table, name)
        return values is not None and read_numbers(values, time_format) is not None
    first = first_cell(map(str, table.columns[name]))
    return first is not None and table.columns[name].dtype == object and read_stamps([first], time_format)[1] is None


def _numbers(table: Table, name: str) -> NDArray[np.float64] | None:
    """A column of numbers without missing values, or None."""
    try:
        values = table.numbers(name, "data.time")
    except UserError:
        return None
    return None if np.isnan(values).any() or not len(values) else values


def _may_ascend(cells: NDArray[Any]) -> bool:
    """Whether three cells of a column rise or fall. This is a fast check that rejects most columns of measurements."""
    try:
        first, second, last = (float(cells[row]) for row in (0, min(1, len(cells) - 1), len(cells) - 1))
    except (TypeError, ValueError):
        return False
    return first < second <= last or first > second >= last
