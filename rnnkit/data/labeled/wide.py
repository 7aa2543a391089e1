"""Series from tables with one row per series."""

import math
from io import StringIO

from rnnkit.data.io.findings import Findings
from rnnkit.data.io.tables.dialect import detect
from rnnkit.data.io.tables.format import TableFormat
from rnnkit.data.io.tables.positions import Column, position
from rnnkit.data.io.tables.rows import named_columns, notation_of, rows_of
from rnnkit.data.io.tables.table import LONGEST_NOTATION
from rnnkit.data.labeled.example import Labeled
from rnnkit.errors import UserError
from rnnkit.quoting import assignment


def read_wide(
    text: str,
    name: str,
    target: Column | None,
    group: Column | None,
    form: TableFormat,
    *,
    steps: int | None,
    targets: bool,
    argument: str,
    notes: Findings | None = None,
) -> list[Labeled]:
    """Read series of one channel, with a target, optionally a group, and values in each row, as in the UCR archive.

    Empty cells at the end of a row end the series. Other empty cells, NaN and ? are missing values.

    Args:
        text: the text of the file.
        name: the name of the file, for error messages.
        target: the column of targets.
        group: the column of groups; None for no groups.
        form: the format of the table.
        steps: the length of all training series. Without `targets`, a row of this many cells has no target.
        targets: whether a target is required.
        argument: the argument that error messages name.
        notes: counts series that end early, and empty lines.

    Raises:
        UserError: a cell is not a number. The message has the line.
    """
    columns = {key: column for key, column in (("target", target), ("group", group)) if column is not None}
    named = any(isinstance(column, str) for column in columns.values())
    dialect = detect(text[: 1 << 20], form, name, argument, named=named)
    notation = notation_of(dialect, form)
    names: list[str] | None = None
    series: list[Labeled] = []
    for number, row in rows_of(StringIO(text), dialect, name, argument, notes):
        place = f"{name} line {number}"
        if names is None:
            names = named_columns(row, dialect)
            if dialect.header:
                continue
        alone = not targets and steps == len(row)
        at: dict[str, int] = {}
        for key, column in columns.items() if not alone else ():
            found = position(column, names, f"data.{key}_column", place, header=dialect.header, optional=not targets)
            if found is not None:
                at[key] = found
        cells = [cell for index, cell in enumerate(row) if index not in at.values()]
        width = len(cells)
        while cells and not cells[-1].strip():
            cells.pop()
        if notes is not None and cells and len(cells) < width:
            notes.add("rows with empty cells at their end, read as shorter series", place)
        inputs_T = notation.read_words(cells)
        bad = next((cell for cell in cells if notation.number(cell) in (None, math.inf, -math.inf)), None)
        if inputs_T is None or bad is not None:
            fix = "a number, or an empty cell if it is unknown"
            if bad is not None and len(bad) <= LONGEST_NOTATION:
                fix += f", or {assignment('data.table.missing', [bad])}"
            raise UserError(argument, "a finite number", f"{bad!r} at {place}", fix=fix)
        series.append(
            Labeled(
                inputs_T[:, None],
                row[at["target"]] if targets and "target" in at else None,
                len(series),
                place,
                row[at["group"]].strip() if "group" in at else None,
            )
        )
    return series
