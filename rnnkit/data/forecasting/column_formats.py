"""The format of the times in a column."""

import re
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.compact import Ascends, begins_like_dates, compact_formats
from rnnkit.data.forecasting.stamps import EPOCHS, NUMBER, first_cell, possible_formats, read_numbers, read_stamps
from rnnkit.data.forecasting.table import Table, listed
from rnnkit.errors import UserError

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
        formats = text_formats(cells)
        if len(formats) > 1:
            formats = _fitting(cells, formats, ascends)
        return ambiguous(name, formats) if len(formats) > 1 and ambiguous else next(iter(formats), None)
    is_named = bool(TIME_WORDS & set(re.findall(r"[a-z]+", name.lower())))
    if not is_named and not may_ascend(cells):
        return None
    values = whole_numbers(table, name)
    if values is None:
        return None
    formats = _numeric_formats(name, values, ascends, is_named=is_named)
    if not formats and is_named:
        _check_compact(table, name, values)
    return ambiguous(name, formats) if len(formats) > 1 and ambiguous else next(iter(formats), None)


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
        return raise_ambiguous(names[0], formats) if len(formats) > 1 else next(iter(formats), NUMBER)
    cells = table.joined(names)
    formats = text_formats(cells)
    if not formats:
        row = next((row for row, cell in enumerate(cells) if str(cell or "").strip()), 0)
        raise UserError(
            "data.time",
            f"times in {listed(names)}, such as 2024-12-31 or 31/12/2024 23:00",
            f"{table.place(row)}: {cells[row]!r}",
            fix="data.time_format='%d/%m/%Y %H:%M' or the format of the file, or data.time=another_column",
        )
    formats = _fitting(cells, formats, ascends) if len(formats) > 1 else formats
    return formats[0] if len(formats) == 1 else raise_ambiguous(names[0], formats)


def text_formats(cells: NDArray[Any]) -> list[str]:
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


def raise_ambiguous(name: str, formats: list[str]) -> NoReturn:
    """Raise a UserError that lists the formats to choose from."""
    column = listed([name])[1:-1]
    options = ", or ".join(f"data.time={column} data.time_format='{form}'" for form in formats)
    got = "times that match both formats"
    raise UserError("data.time_format", f"one format of the times in column {name!r}", got, fix=options)


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
        f"{table.place(row)}: {table.columns[name][row]}, which is not a date",
        fix=f"data.time={listed([name])[1:-1]} data.time_format=number, if they are plain numbers, "
        "or correcting the file",
    )


def whole_numbers(table: Table, name: str) -> NDArray[np.float64] | None:
    """A column of numbers without missing values, or None."""
    try:
        values = table.numbers(name, "data.time")
    except UserError:
        return None
    return None if np.isnan(values).any() or not len(values) else values


def may_ascend(cells: NDArray[Any]) -> bool:
    """Whether three cells of a column rise or fall. This is a fast check that rejects most columns of measurements."""
    try:
        first, second, last = (float(cells[row]) for row in (0, min(1, len(cells) - 1), len(cells) - 1))
    except (TypeError, ValueError):
        return False
    return first < second <= last or first > second >= last
