"""Series from CSV and TSV with one row per step."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.io.findings import Findings
from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.numbers import numbers
from rnnkit.data.labeled.tables import Column, cells, format_of, positions
from rnnkit.errors import UserError


def read_long(
    lines: Iterable[str],
    name: str,
    columns: Mapping[str, Column | None],
    channels: Sequence[Column] | None,
    *,
    header: bool,
    curve: bool,
    targets: bool,
    argument: str,
    notes: Findings | None = None,
) -> list[Labeled]:
    """Read series with one row per step.

    The rows of a series need not be adjacent. Their order is kept. A column of steps must be ascending.

    Args:
        lines: the lines of the file.
        name: the name of the file. It is also the name of the series if there is no column "id".
        columns: the columns of "id", "step", "target" and "group", by name or number; None for a missing column.
        channels: the columns of values; None uses all other columns.
        header: whether the first row has the names of columns.
        curve: whether the target may change within a series.
        targets: whether a target is required. Otherwise, it is ignored.
        argument: the argument that error messages name.
        notes: collects what is skipped or assumed.

    Raises:
        UserError: steps are not ascending, a target or group changes within a series, or a cell is not a number. The
            message has the line.

    >>> table = ["who,x,label", "a,1,up", "b,5,down", "a,2,up"]
    >>> columns = {"id": "who", "target": "label"}
    >>> [(series.id, series.inputs.tolist(), series.target) for series in
    ...     read_long(table, "a.csv", columns, None, header=True, curve=False, targets=True, argument="data.path")]
    [('a', [[1.0], [2.0]], 'up'), ('b', [[5.0]], 'down')]
    """
    rows = cells(lines, name, format_of(name, argument), argument, notes)
    names = next(rows, (0, []))[1] if header else None
    table = list(rows)
    if not table:
        return []
    names = names or [""] * len(table[0][1])
    wanted = {role: column for role, column in columns.items() if column is not None}
    at = positions(names, wanted, f"{name} line 1", () if targets else ("target", "group"))
    places = _channels(names, channels, at, name)

    def line(index: int) -> str:
        return f"{name} line {table[index][0]}"

    def column(place: int) -> list[str]:
        return [row[place].strip() for _, row in table]

    values_NI = np.stack([numbers(column(place), line, argument) for place in places], 1)
    ids = column(at["id"]) if "id" in at else [name] * len(table)
    if "" in ids:
        fix = "an id in every row, or data.id_column=null if a file is one series"
        raise UserError("data.id_column", "the series of every row", f"none at {line(ids.index(''))}", fix=fix)
    rows_of = _rows_of(ids)
    if "step" in at:
        steps_N = numbers(column(at["step"]), line, argument)
        _check_ascending(steps_N, rows_of, line, argument)
        _note_gaps(steps_N, rows_of, line, notes)
    _note_apart(rows_of, line, notes)
    groups = _one_each(column(at["group"]), rows_of, line, "group") if "group" in at else None
    found: Sequence[str | NDArray[np.float64]] | None = None
    if targets and "target" in at:
        cells_N = column(at["target"])
        if curve:
            values_N = numbers(cells_N, line, argument)
            found = [values_N[rows_T] for rows_T in rows_of]
        else:
            found = _one_each(cells_N, rows_of, line, "target")
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


def _channels(
    names: Sequence[str], channels: Sequence[Column] | None, taken: Mapping[str, int], name: str
) -> list[int]:
    if channels is None:
        places = [place for place in range(len(names)) if place not in taken.values()]
    else:
        places = [positions(names, {"channels": channel}, f"{name} line 1")["channels"] for channel in channels]
    if not places:
        raise UserError("data.channels", "a column of values", f"none in {name}", fix="data.channels=[a_column]")
    return places


def _rows_of(ids: Sequence[str]) -> list[NDArray[np.int64]]:
    """The rows of each series, in the order of their first rows."""
    number: dict[str, int] = {}
    series_N = np.fromiter((number.setdefault(id_, len(number)) for id_ in ids), np.int64, len(ids))
    order = series_N.argsort(kind="stable")
    return np.split(order, np.bincount(series_N).cumsum()[:-1])


def _check_ascending(
    steps_N: NDArray[np.float64], rows_of: Sequence[NDArray[np.int64]], line: Callable[[int], str], argument: str
) -> None:
    for rows_T in rows_of:
        wrong_T = ~(np.diff(steps_N[rows_T]) > 0)
        if wrong_T.any():
            at = int(wrong_T.argmax())
            before, after = steps_N[rows_T[at]], steps_N[rows_T[at + 1]]
            got = f"{after:g} at {line(int(rows_T[at + 1]))} after {before:g} at {line(int(rows_T[at]))}"
            raise UserError(argument, "ascending steps in every series", got, fix="sorted rows without repeated steps")


def _note_gaps(
    steps_N: NDArray[np.float64],
    rows_of: Sequence[NDArray[np.int64]],
    line: Callable[[int], str],
    notes: Findings | None,
) -> None:
    gaps_of = [np.diff(steps_N[rows_T]) for rows_T in rows_of]
    if notes is None or not any(map(len, gaps_of)):
        return
    usual = np.median(np.concatenate(gaps_of))
    for gaps, rows_T in zip(gaps_of, rows_of, strict=True):
        if not np.allclose(gaps, usual):
            kind = f"series with distances between steps other than {usual:g}, read as consecutive steps"
            notes.add(kind, line(int(rows_T[0])))


def _note_apart(rows_of: Sequence[NDArray[np.int64]], line: Callable[[int], str], notes: Findings | None) -> None:
    for rows_T in rows_of:
        apart_T = np.diff(rows_T) != 1
        if notes is not None and apart_T.any():
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
