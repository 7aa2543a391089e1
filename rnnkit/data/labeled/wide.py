"""Series from CSV and TSV with one row per series."""

from collections.abc import Iterable

from rnnkit.data.io.findings import Findings
from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.numbers import numbers
from rnnkit.data.labeled.tables import Column, cells, format_of, positions


def read_wide(
    lines: Iterable[str],
    name: str,
    target: Column | None,
    group: Column | None,
    *,
    header: bool,
    steps: int | None,
    targets: bool,
    argument: str,
    notes: Findings | None = None,
) -> list[Labeled]:
    """Read series of one channel, with a target, optionally a group, and values in each row, as in the UCR archive.

    Empty cells at the end of a row end the series. Other empty cells, NaN and ? are missing values.

    Args:
        lines: the lines of the file.
        name: the name of the file, for error messages.
        target: the column of targets.
        group: the column of groups; None for no groups.
        header: whether the first row has the names of columns.
        steps: the length of all training series. Without `targets`, a row of this many cells has no target.
        targets: whether a target is required.
        argument: the argument that error messages name.
        notes: counts series that end early, and empty lines.

    Raises:
        UserError: a cell is not a number. The message has the line.
    """
    rows = cells(lines, name, format_of(name, argument), argument, notes)
    names = next(rows, (0, []))[1] if header else None
    columns = {key: column for key, column in (("target", target), ("group", group)) if column is not None}
    series: list[Labeled] = []
    for number, row in rows:
        place = f"{name} line {number}"
        alone = not targets and steps == len(row)
        at = (
            {} if alone else positions(names or [""] * len(row), columns, place, () if targets else ("target", "group"))
        )
        values = [cell for index, cell in enumerate(row) if index not in at.values()]
        width = len(values)
        while values and not values[-1].strip():
            values.pop()
        if notes is not None and values and len(values) < width:
            notes.add("rows with empty cells at their end, read as shorter series", place)
        inputs_T = numbers(values, place, argument)
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
