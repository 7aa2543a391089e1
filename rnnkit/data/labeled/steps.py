"""The steps of labeled series: numbers or times."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.io.findings import Findings
from rnnkit.data.io.tables.table import Table
from rnnkit.data.io.times.columns import TimeColumns
from rnnkit.data.io.times.detection import formats_of_text
from rnnkit.data.io.times.stamps import read_numbers
from rnnkit.errors import UserError
from rnnkit.quoting import assignment


def read_steps(
    table: Table, name: str, form: str | None, ascends: Callable[[NDArray[Any]], bool]
) -> tuple[NDArray[np.float64], str]:
    """The steps of all rows, and their unit: numbers as they are, and times in seconds since the first of them.

    Args:
        table: the table.
        name: the column of steps.
        form: the format of times; None detects it.
        ascends: a function that checks whether times rise within all series.

    Raises:
        UserError: a cell is neither a number nor a time, or several formats of times are possible.
    """
    if table.is_numeric(name) and form is None:
        return table.numbers(name, "data.step_column", "numbers or times in every row"), ""
    column = TimeColumns(table, [name])
    if table.is_numeric(name) and form is not None:
        times = read_numbers(table.numbers(name, "data.step_column"), form)
        if times is not None:
            return _seconds(times)
    formats = formats_of_text(column, ascends) if form is None else [form]
    if len(formats) > 1:
        fix = ", or ".join(assignment("data.step_format", one) for one in formats)
        got = f"times in {name!r} that match several, such as {column.first()!r}"
        raise UserError("data.step_format", "one format of the times", got, fix=fix)
    stamps, row = column.read(formats[0]) if formats else (None, 0)
    if row is not None or stamps is None:
        fix = "data.step_format='%d/%m/%Y %H:%M' or the format of the file, or data.step_column=null"
        got = f"{column.cell(row or 0)!r} at {table.place(row or 0)}"
        raise UserError("data.step_column", "numbers, or times of one format, in every row", got, fix=fix)
    return _seconds(stamps.times)


def _seconds(times: NDArray[Any]) -> tuple[NDArray[np.float64], str]:
    if times.dtype.kind != "M":
        return times, ""
    return (times - times[0]) / np.timedelta64(1, "s"), " s"


def check_ascending(
    steps_N: NDArray[np.float64], rows_of: Sequence[NDArray[np.int64]], table: Table, step: str
) -> None:
    """Raise UserError if the steps of a series do not ascend."""
    for rows_T in rows_of:
        wrong_T = ~(np.diff(steps_N[rows_T]) > 0)
        if wrong_T.any():
            at = int(wrong_T.argmax())
            before, after = int(rows_T[at]), int(rows_T[at + 1])
            got = f"{table.cell(step, after)} at {table.place(after)} after {table.cell(step, before)}"
            fix = "sorted rows without repeated steps"
            raise UserError("data.step_column", "ascending steps in every series", got, fix=fix)


def do_ascend(times: NDArray[Any], rows_of: Sequence[NDArray[np.int64]]) -> bool:
    """Whether times rise, or stay, within all series."""
    return all((times[rows_T][1:] >= times[rows_T][:-1]).all() for rows_T in rows_of)


def gaps_before(steps_N: NDArray[np.float64], rows_of: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    """The distance of each step from the one before in its series, 0 for the first."""
    gaps_N = np.zeros(len(steps_N))
    for rows_T in rows_of:
        gaps_N[rows_T[1:]] = np.diff(steps_N[rows_T])
    return gaps_N


def note_gaps(
    steps_N: NDArray[np.float64],
    unit: str,
    rows_of: Sequence[NDArray[np.int64]],
    line: Callable[[int], str],
    notes: Findings,
) -> None:
    """Count series whose steps are not equally spaced."""
    gaps_of = [np.diff(steps_N[rows_T]) for rows_T in rows_of]
    if not any(map(len, gaps_of)):
        return
    usual = np.median(np.concatenate(gaps_of))
    for gaps, rows_T in zip(gaps_of, rows_of, strict=True):
        if not np.allclose(gaps, usual):
            kind = (
                f"series with distances between steps other than {usual:g}{unit}, read as consecutive steps "
                "(data.gaps=true makes the distances an input)"
            )
            notes.add(kind, line(int(rows_T[0])))
