"""Series from tables with one row per step."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.io.findings import Findings
from rnnkit.data.io.tables.format import TableFormat
from rnnkit.data.io.tables.positions import Column, position
from rnnkit.data.io.tables.reading import table_of_text
from rnnkit.data.io.tables.table import Table
from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.steps import read_steps
from rnnkit.errors import UserError
from rnnkit.notices import notice
from rnnkit.quoting import assignment

_ROLES = {
    "id": "data.id_column",
    "step": "data.step_column",
    "target": "data.target_column",
    "group": "data.group_column",
}


def read_long(
    text: str,
    name: str,
    columns: Mapping[str, Column | None],
    channels: Sequence[Column] | None,
    form: TableFormat,
    *,
    curve: bool,
    targets: bool,
    argument: str,
    notes: Findings,
    step_format: str | None = None,
    gaps: bool = False,
) -> list[Labeled]:
    r"""Read series with one row per step.

    The rows of a series need not be adjacent. Their order is kept. A column of steps must be ascending.

    Args:
        text: the text of the file.
        name: the name of the file. It is also the name of the series if there is no column "id".
        columns: the columns of "id", "step", "target" and "group", by name or number; None for a missing column.
        channels: the columns of values; None uses all other columns.
        form: the format of the table.
        curve: whether the target may change within a series.
        targets: whether a target is required. Otherwise, it is ignored.
        argument: the argument that error messages name.
        notes: collects what is skipped or assumed.
        step_format: the format of times in the column of steps; None detects it.
        gaps: whether to add the distance from the step before as a first channel, 0 at the first step.

    Raises:
        UserError: steps are not ascending, a target or group changes within a series, or a cell is not a number. The
            message has the line.

    >>> table = "who,x,label\na,1,up\nb,5,down\na,2,up\n"
    >>> columns = {"id": "who", "target": "label"}
    >>> [(series.id, series.inputs.tolist(), series.target) for series in read_long(table, "a.csv", columns, None,
    ...     TableFormat(), curve=False, targets=True, argument="data.path", notes=Findings())]
    [('a', [[1.0], [2.0]], 'up'), ('b', [[5.0]], 'down')]
    """
    wanted = {role: column for role, column in columns.items() if column is not None}
    every = [*wanted.values(), *(channels or ())]
    named = any(isinstance(column, str) for column in every)
    written = [column for role, column in wanted.items() if not (role == "target" and curve)]

    def text_columns(names: Sequence[str]) -> set[int]:
        header = form.header is not False
        places = [position(column, names, argument, name, header=header, optional=True) for column in written]
        return {place for place in places if place is not None}

    table = table_of_text(text, name, argument, form, named=named, text_columns=text_columns, notes=notes)
    if table.notes:
        notice(f"{name}: {'; '.join(table.notes)}")
    at = _places(table, wanted, () if targets else ("target", "group"))
    names = _channels(table, channels, at)
    line = table.place

    def column(name: str) -> list[str]:
        return table.strings(name)

    _check_numeric(table, names, argument)
    fix = "a number, or an empty cell if it is unknown"
    values_NI = np.stack([table.numbers(name, argument, fix) for name in names], 1)
    ids = column(at["id"]) if "id" in at else [name] * table.rows
    if "" in ids:
        fix = "an id in every row, or data.id_column=null if a file is one series"
        raise UserError("data.id_column", "the series of every row", f"none at {line(ids.index(''))}", fix=fix)
    rows_of = _rows_of(ids)
    if "step" in at:
        steps_N, unit = read_steps(table, at["step"], step_format, lambda times: _ascend(times, rows_of))
        _check_ascending(steps_N, rows_of, table, at["step"])
        if gaps:
            values_NI = np.concatenate([_gaps(steps_N, rows_of)[:, None], values_NI], 1)
        else:
            _note_gaps(steps_N, unit, rows_of, line, notes)
    _note_apart(rows_of, line, notes)
    groups = _one_each(column(at["group"]), rows_of, line, "group") if "group" in at else None
    found: Sequence[str | NDArray[np.float64]] | None = None
    if targets and "target" in at:
        if curve:
            values_N = table.numbers(at["target"], "data.target_column", fix)
            found = [values_N[rows_T] for rows_T in rows_of]
        else:
            found = _one_each(column(at["target"]), rows_of, line, "target")
    return [
        Labeled(
            values_NI[rows_T],
            None if found is None else found[n],
            ids[rows_T[0]],
            line(int(rows_T[0])),
            None if groups is None else groups[n],
        )
        for n, rows_T in enumerate(rows_of)
    ]


def _places(table: Table, wanted: Mapping[str, Column], optional: Sequence[str]) -> dict[str, str]:
    """The names of the columns by role."""
    names = list(table.columns)
    found = {}
    for role, column in wanted.items():
        place = position(
            column, names, _ROLES[role], f"{table.source} line 1", header=table.header, optional=role in optional
        )
        if place is not None:
            found[role] = names[place]
    return found


def _channels(table: Table, channels: Sequence[Column] | None, taken: Mapping[str, str]) -> list[str]:
    if channels is not None:
        return [table.name_of(channel, "data.channels") for channel in channels]
    names = [name for name in table.columns if name not in taken.values()]
    if not names:
        raise UserError(
            "data.channels", "a column of values", f"none in {table.source}", fix="data.channels=[a_column]"
        )
    return names


def _check_numeric(table: Table, names: Sequence[str], argument: str) -> None:
    """Raise UserError that lists all columns of values with words."""
    words = [name for name in names if not table.is_numeric(name)]
    numeric = [name for name in names if name not in words]
    if not words or not numeric:
        return
    row = next(row for row, cell in enumerate(table.strings(words[0])) if not table.notation.is_missing(cell))
    more = f" and {len(words) - 1} more: {', '.join(words[1:13])}" if len(words) > 1 else ""
    got = f"column {words[0]!r} ({table.cell(words[0], row)!r} at {table.place(row)}){more}"
    fixes = [assignment("data.channels", numeric)]
    if len(words) == 1:
        fixes.append(f"{assignment('data.step_column', words[0])} if it has times")
    raise UserError(argument, "numbers in all columns without another role", got, fix=", or ".join(fixes))


def _rows_of(ids: Sequence[str]) -> list[NDArray[np.int64]]:
    """The rows of each series, in the order of their first rows."""
    number: dict[str, int] = {}
    series_N = np.fromiter((number.setdefault(id_, len(number)) for id_ in ids), np.int64, len(ids))
    order = series_N.argsort(kind="stable")
    return np.split(order, np.bincount(series_N).cumsum()[:-1])


def _check_ascending(
    steps_N: NDArray[np.float64], rows_of: Sequence[NDArray[np.int64]], table: Table, step: str
) -> None:
    for rows_T in rows_of:
        wrong_T = ~(np.diff(steps_N[rows_T]) > 0)
        if wrong_T.any():
            at = int(wrong_T.argmax())
            before, after = int(rows_T[at]), int(rows_T[at + 1])
            got = f"{table.cell(step, after)} at {table.place(after)} after {table.cell(step, before)}"
            fix = "sorted rows without repeated steps"
            raise UserError("data.step_column", "ascending steps in every series", got, fix=fix)


def _ascend(times: NDArray[Any], rows_of: Sequence[NDArray[np.int64]]) -> bool:
    return all((times[rows_T][1:] >= times[rows_T][:-1]).all() for rows_T in rows_of)


def _gaps(steps_N: NDArray[np.float64], rows_of: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
    gaps_N = np.zeros(len(steps_N))
    for rows_T in rows_of:
        gaps_N[rows_T[1:]] = np.diff(steps_N[rows_T])
    return gaps_N


def _note_gaps(
    steps_N: NDArray[np.float64],
    unit: str,
    rows_of: Sequence[NDArray[np.int64]],
    line: Callable[[int], str],
    notes: Findings,
) -> None:
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


def _note_apart(rows_of: Sequence[NDArray[np.int64]], line: Callable[[int], str], notes: Findings) -> None:
    for rows_T in rows_of:
        apart_T = np.diff(rows_T) != 1
        if apart_T.any():
            notes.add("series whose rows are not adjacent, joined", line(int(rows_T[1:][apart_T][0])))


def _one_each(
    cells_N: Sequence[str], rows_of: Sequence[NDArray[np.int64]], line: Callable[[int], str], role: str
) -> list[str]:
    """The value of each series, which must be constant."""
    text_N = np.array(cells_N, object)  # with dtype str, all cells would be as wide as the longest
    for rows_T in rows_of:
        differs_T = text_N[rows_T] != text_N[rows_T[0]]
        if differs_T.any():
            at = int(rows_T[int(differs_T.argmax())])
            got = f"{cells_N[at]!r} at {line(at)} after {cells_N[rows_T[0]]!r}"
            fix = (
                f"the {role} in every row"
                if "" in (cells_N[at], cells_N[rows_T[0]])
                else "data.target=curve for one per step"
            )
            raise UserError(role, "the same in all rows of a series", got, fix=fix)
    return [cells_N[rows_T[0]] for rows_T in rows_of]
