"""Series from CSV and TSV with a row for every series."""

from collections.abc import Iterable

import numpy as np

from rnnkit.data.labelled.labelled import Labelled
from rnnkit.data.labelled.numbers import numbers
from rnnkit.data.labelled.tables import Column, cells, format_of, positions
from rnnkit.errors import UserError


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
) -> list[Labelled]:
    """Series of one channel: in each row a target, maybe a group, and values, as in the UCR archive.

    Empty cells at the end of a row end the series; elsewhere, and written as NaN or ?, they are missing values. Without
    `targets` a row of just as many cells as `steps`, the steps of every training series, has no target.

    Raises UserError with the line for a row without values and a cell that is no number.
    """
    rows = cells(lines, name, format_of(name, argument), argument)
    names = next(rows, (0, []))[1] if header else None
    columns = {key: column for key, column in (("target", target), ("group", group)) if column is not None}
    series: list[Labelled] = []
    for number, row in rows:
        place = f"{name} line {number}"
        alone = not targets and steps == len(row)
        at = (
            {} if alone else positions(names or [""] * len(row), columns, place, () if targets else ("target", "group"))
        )
        values = [cell for index, cell in enumerate(row) if index not in at.values()]
        while values and not values[-1].strip():
            values.pop()
        if not values:
            raise UserError(argument, "a value in every series", f"none at {place}", fix="the values, or no such row")
        inputs_T = numbers(values, place, argument)
        series.append(
            Labelled(
                inputs_T[:, None].astype(np.float64),
                row[at["target"]] if targets and "target" in at else None,
                len(series),
                place,
                row[at["group"]].strip() if "group" in at else None,
            )
        )
    return series
