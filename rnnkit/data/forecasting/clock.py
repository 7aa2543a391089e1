"""Detection of the time columns of a table."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rnnkit.data.io.tables.table import Table
from rnnkit.data.io.times.columns import TimeColumns
from rnnkit.data.io.times.compact import PLAIN, Ascends, compact_formats
from rnnkit.data.io.times.detection import (
    TIME_WORDS,
    date_format,
    format_of,
    may_ascend,
    may_be_epoch,
    raise_ambiguous,
    text_formats,
    whole_numbers,
)
from rnnkit.data.io.times.stamps import EPOCHS, NUMBER, read_numbers, read_stamps
from rnnkit.errors import UserError
from rnnkit.quoting import assignment

_COUNTERS = frozenset(("", "index", "idx", "no", "nr", "row", "step", "t", "n", "id", "unnamed: 0", "rownum"))
_FIELDS = ("year", "month", "day", "hour", "minute", "second")
_SIGNIFICANT = 10
"""The smallest number of rows for which equal steps are not a coincidence."""


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
    found = {name: form for name in looked_at if (form := date_format(table, name, None, ascends)) is not None}
    if given:
        form = time_format or format_of(table, given, ascends)
        return Clock(given, form, [*found, *_counters(table, looked_at, ascends)])
    if time_format is not None:
        name = next((name for name in looked_at if _reads(table, name, time_format)), None)
        if name is None:
            got = f"none in {table.source}"
            raise UserError(
                "data.times.format", f"a column of times such as {time_format}", got, fix="data.time=column"
            )
        others = [other for other in (*found, *_counters(table, looked_at, ascends)) if other != name]
        return Clock([name], time_format, others)
    fields = _fields(looked_at)
    if fields and all(name in fields for name in found) and (formats := text_formats(TimeColumns(table, fields))):
        return Clock(fields, formats[0], _counters(table, [n for n in looked_at if n not in fields], ascends))
    if found:
        name = next((name for name in found if not table.is_numeric(name)), next(iter(found)))
        form = found[name]
        others = [other for other in (*found, *_counters(table, looked_at, ascends)) if other != name]
        if "%d" in form and (pair := _with_time_of_day(table, name, looked_at, ascends)):
            return Clock(*pair, [other for other in others if other not in pair[0]])
        form = date_format(table, name, raise_ambiguous, ascends) or form
        return Clock([name], form, others)
    if counters := _counters(table, looked_at, ascends, beside=False):
        _check_row_numbers(table, counters[0], ascends)
        return Clock(counters[:1], NUMBER, counters[1:])
    if asks:
        _check_numbers(table, looked_at, ascends)
    return None


def _counters(table: Table, names: Sequence[str], ascends: Ascends, *, beside: bool = True) -> list[str]:
    """Numeric columns that are named like times or row numbers and are monotonic; `beside` a clock, in equal steps."""
    found = []
    for name in names:
        word = name.strip().lower()
        if word not in _COUNTERS | TIME_WORDS or not table.is_numeric(name):
            continue
        values = whole_numbers(table, name)
        if values is not None and ascends(values):
            steps = np.abs(np.diff(values))
            if not beside or (steps == np.median(steps)).mean() > 0.8:
                found.append(name)
    return found


def _check_row_numbers(table: Table, name: str, ascends: Ascends) -> None:
    """Raise UserError if a column that is named like a row number may also be a column of dates."""
    values = whole_numbers(table, name)
    assert values is not None
    formats = compact_formats(values, ascends, is_named=True)
    if any(form in (*PLAIN, "%Y%m", "%Y%j", "%G%V") for form in formats):
        raise_ambiguous([name], [*formats, NUMBER])


def _check_numbers(table: Table, names: Sequence[str], ascends: Ascends) -> None:
    """Raise UserError if a column of numbers may be a time, if there is no clock and all columns are forecast."""
    numeric = [name for name in names if table.is_numeric(name)]
    for name in numeric if len(numeric) > 1 else ():
        is_named = name.strip().lower() in TIME_WORDS
        if not (is_named or may_ascend(table, name)):
            continue
        values = whole_numbers(table, name)
        if values is None or (len(values) < _SIGNIFICANT and not is_named):
            continue
        rises = ascends(values)
        steps = np.abs(np.diff(values))
        is_epoch = any(may_be_epoch(values, unit) for unit in EPOCHS)
        if is_named or (rises and (is_epoch or (steps == steps[0]).mean() > 0.9)):
            what = (
                "is named like a time"
                if is_named
                else "looks like time stamps"
                if is_epoch
                else "counts in equal steps"
            )
            cells = ", ".join(table.strings(name, slice(3)))
            others = assignment("data.target", [other for other in numeric if other != name])
            raise UserError(
                "data.time",
                "a column of times, or none",
                f"{table.source}, whose column {name!r} {what}: {cells}, ...",
                fix=f"{assignment('data.time', name)} if it is the time, or {others} to skip it",
            )


def _with_time_of_day(table: Table, date: str, names: Sequence[str], ascends: Ascends) -> tuple[list[str], str] | None:
    """The column of dates with a column of times of day, and their joint format."""
    for name in names:
        first = table.first(name) if table.is_text(name) else None
        if (
            name != date
            and first is not None
            and re.fullmatch(r"\d{1,2}[:.]\d\d([:.]\d\d)?( ?[AaPp][Mm])?", first.strip())
        ):
            if re.fullmatch(r"\d+\.\d+", first.strip()) and name.strip().lower() not in TIME_WORDS:
                continue  # a number
            return [date, name], format_of(table, [date, name], ascends)
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
        values = whole_numbers(table, name)
        return values is not None and read_numbers(values, time_format) is not None
    first = table.first(name) if table.is_text(name) else None
    return first is not None and read_stamps([first], time_format)[1] is None
