"""The format of the times in a column."""

import re
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.io.tables.table import Table
from rnnkit.data.io.times.columns import TimeColumns
from rnnkit.data.io.times.compact import Ascends, begins_like_dates, compact_formats
from rnnkit.data.io.times.stamps import EPOCHS, NUMBER, possible_formats, read_numbers, read_stamps
from rnnkit.errors import UserError
from rnnkit.quoting import assignment

TIME_WORDS = frozenset(
    (
        *("date", "dates", "time", "times", "datetime", "timestamp", "timestamps", "ts", "ds", "dt", "utc"),
        *("year", "quarter", "month", "week", "day", "hour", "minute", "period", "unix", "epoch", "unixtime"),
        *("datum", "zeit", "zeitpunkt", "jahr", "monat", "tag", "fecha", "hora", "heure", "jour", "tijd"),
    )
)
"""Words in the names of time columns."""
_SAMPLE = 200
"""The number of cells that are tried with every format."""
_EPOCH_START, _EPOCH_END = 1e8, 4.1e9  # in seconds: 1973 to 2099


def date_format(table: Table, name: str, ambiguous: Any, ascends: Ascends) -> str | None:
    """The date format of a column; None if it has no dates.

    If several formats fit equally well, `ambiguous` is called with them. Without it, the first is used.
    """
    cells = table.columns[name]
    if cells.dtype.kind == "M":
        return "%Y-%m-%d" if (cells.astype("datetime64[D]") == cells).all() else "%Y-%m-%d %H:%M:%S"
    if not table.is_numeric(name):
        formats = formats_of_text(TimeColumns(table, [name]), ascends)
        return ambiguous([name], formats) if len(formats) > 1 and ambiguous else next(iter(formats), None)
    is_named = is_time_name(name)
    if not is_named and not may_ascend(table, name):
        return None
    values = whole_numbers(table, name)
    if values is None:
        return None
    formats = _numeric_formats(name, values, ascends, is_named=is_named)
    if not formats and is_named:
        _check_compact(table, name, values)
    return ambiguous([name], formats) if len(formats) > 1 and ambiguous else next(iter(formats), None)


def is_time_name(name: str) -> bool:
    """Whether a column is named like a time."""
    return bool(TIME_WORDS & set(re.findall(r"[a-z]+", name.lower())))


def format_of(table: Table, names: list[str], ascends: Ascends) -> str:
    """The format of the columns that the user named. Plain numbers are the last choice."""
    if len(names) == 1 and (form := date_format(table, names[0], raise_ambiguous, ascends)):
        return form
    if len(names) == 1 and table.is_numeric(names[0]):
        values = whole_numbers(table, names[0])
        if values is None:
            return NUMBER
        formats = _numeric_formats(names[0], values, ascends, is_named=True)
        if not formats:
            _check_compact(table, names[0], values)
        return raise_ambiguous(names, formats) if len(formats) > 1 else next(iter(formats), NUMBER)
    column = TimeColumns(table, names)
    formats = formats_of_text(column, ascends)
    if not formats:
        row = next((row for row, cell in enumerate(column.strings()) if cell.strip()), 0)
        raise UserError(
            "data.time",
            f"times in {' and '.join(map(repr, names))}, such as 2024-12-31 or 31/12/2024 23:00",
            f"{column.cell(row)!r} at {table.place(row)}",
            fix="data.times.format='%d/%m/%Y %H:%M' or the format of the file, or data.time=another_column",
        )
    return formats[0] if len(formats) == 1 else raise_ambiguous(names, formats)


def formats_of_text(column: TimeColumns, ascends: Ascends) -> list[str]:
    """The possible formats of a column of text: none, one, or several that fit equally well."""
    formats = text_formats(column)
    return _fitting(column, formats, ascends) if len(formats) > 1 else formats


def text_formats(column: TimeColumns) -> list[str]:
    """The formats that match the most cells of a sample, if they match more than half."""
    first = column.first()
    if first is None or not any(letter.isdigit() for letter in first):
        return []
    filled = [cell for cell in column.strings(slice(None, None, max(1, len(column) // _SAMPLE))) if cell.strip()]
    formats = possible_formats(first)
    counts = [sum(read_stamps([cell], form)[1] is None for cell in filled) for form in formats]
    most = max(counts, default=0)
    return [form for form, count in zip(formats, counts, strict=True) if count == most and 2 * count > len(filled)]


def _fitting(column: TimeColumns, formats: list[str], ascends: Ascends) -> list[str]:
    """The formats that match every cell. If their times differ, those with ascending times."""
    read = {form: column.read(form) for form in formats}
    whole = {form: stamps.times for form, (stamps, row) in read.items() if row is None}
    if not whole:
        return formats[:1]
    first = next(iter(whole.values()))
    if all((times == first).all() for times in whole.values()):
        return list(whole)[:1]
    return [form for form, times in whole.items() if ascends(times)] or list(whole)


def raise_ambiguous(names: list[str], formats: list[str]) -> NoReturn:
    """Raise a UserError that lists the formats to choose from."""
    column = assignment("data.time", names[0] if len(names) == 1 else names)
    options = ", or ".join(f"{column} {assignment('data.times.format', form)}" for form in formats)
    where = f"column{'s' * (len(names) > 1)} {' and '.join(map(repr, names))}"
    got = f"times that match {'both' if len(formats) == 2 else 'several'} formats"
    raise UserError("data.times.format", f"one format of the times in {where}", got, fix=options)


def _numeric_formats(name: str, values: NDArray[np.float64], ascends: Ascends, *, is_named: bool) -> list[str]:
    """The formats of numbers that are dates without separators, or counts since 1970."""
    found = compact_formats(values, ascends, is_named=is_named)
    if {"%Y%m", "%G%V"} <= {*found}:  # only the first twelve weeks of a year
        found.remove("%Y%m" if "week" in name.lower() else "%G%V")
    for unit in EPOCHS:
        if may_be_epoch(values, unit):
            steps = np.diff(values)
            is_regular = len(steps) > 1 and (np.abs(steps) == np.median(np.abs(steps))).mean() > 0.9
            if not found and (is_named or (ascends(values) and is_regular)):
                return [unit]
    return found


def may_be_epoch(values: NDArray[np.float64], unit: str) -> bool:
    """Whether numbers may count since 1970 in a unit of `EPOCHS`: all are between 1973 and 2099."""
    first, last = float(values.min()) * EPOCHS[unit], float(values.max()) * EPOCHS[unit]
    return _EPOCH_START * 1e6 <= first <= last <= _EPOCH_END * 1e6


def _check_compact(table: Table, name: str, values: NDArray[np.float64]) -> None:
    """Raise UserError if the first number is a date without separators and others are not dates."""
    compact = begins_like_dates(values[:10_000])
    if compact is None:
        return
    row = next(row for row in range(len(values)) if read_numbers(values[row : row + 1], compact) is None)
    raise UserError(
        "data.time",
        f"dates in column {name!r}, like its first",
        f"{table.cell(name, row)} at {table.place(row)}, which is not a date",
        fix=f"{assignment('data.time', name)} data.times.format=number, if they are plain numbers, "
        "or correcting the file",
    )


def whole_numbers(table: Table, name: str) -> NDArray[np.float64] | None:
    """A column of numbers without missing values, or None."""
    try:
        values = table.numbers(name, "data.time")
    except UserError:
        return None
    return None if np.isnan(values).any() or not len(values) else values


def may_ascend(table: Table, name: str) -> bool:
    """Whether three cells of a column rise or fall. This is a fast check that rejects most columns of measurements."""
    last = table.rows - 1
    cells = [table.notation.number(table.cell(name, row)) for row in (0, min(1, last), last)]
    first, second, third = (np.nan if cell is None else cell for cell in cells)
    return first < second <= third or first > second >= third
