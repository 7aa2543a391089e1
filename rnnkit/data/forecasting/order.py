"""Grouping of the rows of a table by series, and their order in time."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.format import Format
from rnnkit.data.forecasting.frequency import Times
from rnnkit.data.io.tables.table import Table
from rnnkit.data.io.times.columns import TimeColumns
from rnnkit.errors import UserError
from rnnkit.quoting import assignment

TURNED, SORTED = "were in descending order of time and were reversed", "were sorted by time (data.times.sort=true)"


@dataclass(frozen=True)
class Groups:
    """The name and the rows of each series, in the order of their first rows."""

    names: list[str]
    rows: list[NDArray[np.int64]]

    def __iter__(self) -> Iterator[tuple[str, NDArray[np.int64]]]:
        return zip(self.names, self.rows, strict=True)

    def ascend(self, values: NDArray[Any]) -> bool:
        """Whether values are monotonic, but not constant, within every series."""
        change = np.diff(values if len(self.rows) == 1 else values[self._order])
        change = change if len(self.rows) == 1 else change[self._within]
        zero = np.zeros((), change.dtype)
        return bool(len(change) and ((change >= zero).all() or (change <= zero).all()) and (change != zero).any())

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.concatenate(self.rows)

    @cached_property
    def _within(self) -> NDArray[np.bool_]:
        within = np.ones(len(self._order) - 1, bool)
        within[np.cumsum([len(rows) for rows in self.rows])[:-1] - 1] = False
        return within


def groups_of(table: Table, column: str | None) -> Groups:
    """Group rows by the series that a column names. Without a column, all rows are one series.

    Raises:
        UserError: a row has no name. The message has the line.
    """
    if column is None:
        return Groups([""], [np.arange(table.rows)])
    ids = table.words(column, "data.id")
    absent = next((row for row, name in enumerate(ids) if name is None), None)
    if absent is not None:
        raise UserError(
            "data.id", f"a name in every row of {column!r}", f"none at {table.place(absent)}", fix="completing the rows"
        )
    order: dict[str, int] = {}
    number = np.fromiter((order.setdefault(name, len(order)) for name in ids), np.int64, len(ids))
    by_series = np.argsort(number, kind="stable")
    cuts = np.cumsum(np.bincount(number))[:-1]
    return Groups(list(order), np.split(by_series, cuts))


def ordered(
    table: Table, form: Format, times: Times | None, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    """Order the rows of a series by time.

    Returns:
        The rows in the order of time, the start of each distinct time, and a note on how they were reordered.

    Raises:
        UserError: the rows are unsorted, or times are repeated. The message has the line.
    """
    if times is None or len(rows) < 2:
        return rows, np.arange(len(rows)), ""
    mine = times[rows]
    change = np.diff(mine)
    zero = np.zeros((), change.dtype)
    backwards = change < zero
    done = ""
    if backwards.any():
        if not (change > zero).any():
            done, rows = TURNED, rows[::-1]
        elif form.sort:
            done, rows = SORTED, rows[np.argsort(mine, kind="stable")]
        else:
            row = int(rows[1:][backwards][0])
            before = int(rows[:-1][backwards][0])
            fix = _several(table, form, times) or "data.times.sort=true" + _clock_change(form, mine[1:][backwards])
            cells = TimeColumns(table, form.time)
            got = f"{cells.cell(row)} at {table.place(row)} after {cells.cell(before)}"
            raise UserError("data.time", "rows in the order of time", got, fix=fix)
        mine = times[rows]
    again = np.concatenate([[False], mine[1:] == mine[:-1]])
    if not again.any():
        return rows, np.arange(len(rows)), done
    if form.duplicates == "error":
        row, first = int(rows[again][0]), int(rows[int(again.argmax()) - 1])
        raise UserError(
            "data.time",
            "each time once" + ("" if form.id is None else " in a series"),
            f"{TimeColumns(table, form.time).cell(row)} again at {table.place(row)}, first at {table.place(first)}",
            fix=_several(table, form, times)
            or "data.times.duplicates=mean, first or last" + _clock_change(form, mine[again]),
        )
    if form.duplicates == "mean":
        return rows, np.flatnonzero(~again), done
    kept = ~again if form.duplicates != "last" else np.concatenate([~again[1:], [True]])
    return rows[kept], np.arange(int(kept.sum())), done


def _several(table: Table, form: Format, times: Times) -> str:
    """The fix for rows of several series, if a column names the series."""
    if form.id is not None:
        return ""
    zero = np.zeros((), np.diff(times[:1]).dtype)
    for name, cells in table.columns.items():
        is_name = cells.dtype.kind in "SOf" and (
            not table.is_numeric(name) or all(map(str.isdigit, table.strings(name, slice(100))))
        )
        if name in form.time or not is_name or (name in form.target and (not form.is_guessed or len(form.target) < 2)):
            continue
        _, which = np.unique(cells if cells.dtype != object else cells.astype(str), return_inverse=True)
        if not 1 < which.max() + 1 <= len(times) / 3:
            continue
        order = np.argsort(which, kind="stable")
        same = which[order][1:] == which[order][:-1]
        if (np.diff(times[order])[same] > zero).all():  # in each series, in the order of the file
            return f"{assignment('data.id', name)}, whose series have ordered times without repetition"
    return ""


def _clock_change(form: Format, repeated: Times) -> str:
    """The fix for repeated times that may come from the end of daylight saving time."""
    if repeated.dtype.kind != "M" or form.time_zone is not None:
        return ""
    month = repeated.astype("datetime64[M]").astype(np.int64) % 12 + 1
    hour = (repeated - repeated.astype("datetime64[D]")) // np.timedelta64(1, "h")
    is_autumn = np.isin(month, (4, 10, 11)) & (hour < 4)
    is_daily = bool((hour == 0).all())
    if not is_autumn.all() or is_daily:
        return ""
    return "; at the end of daylight saving time: data.times.zone=Europe/Berlin, or the zone of the file"
