"""The steps of labeled series: numbers or times."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
