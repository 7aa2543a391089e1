"""Series from CSV and TSV with a row for every series."""

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
    """Series of one channel: in each row a target, maybe a group, and values, as in the UCR archive.

    Empty cells at the end of a row end the series; elsewhere, and written as NaN or ?, they are missing values. Without
    `targets` a row of just as many cells as `steps`, the steps of every training series, has no target.

    Series that end so, and empty lines, are added to `notes`. Raises UserError with the line for a cell that is no
    number.
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
