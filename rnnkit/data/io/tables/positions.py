"""The columns that a user names, by name or by number from 0; negative numbers count from the end."""

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import islice

from rnnkit.errors import UserError
from rnnkit.quoting import assignment

Column = str | int


def position(
    column: Column, names: Sequence[str], argument: str, where: str, *, header: bool, optional: bool = False
) -> int | None:
    """The position of a column.

    Args:
        column: a name, or a number from 0, or from -1 for the last.
        names: the names of all columns.
        argument: the argument that named the column.
        where: the file and the line of the header.
        header: whether the names are those of a header. Otherwise, they are numbers.
        optional: whether the column may be missing. The result is then None.

    Raises:
        UserError: there is no such column, or there are two.

    >>> position("label", ["text", "label"], "data.target_column", "a.csv line 1", header=True)
    1
    >>> position(-1, ["0", "1", "2"], "data.target_column", "a.csv line 1", header=False)
    2
    """
    if column in names:
        places = [place for place, one in enumerate(names) if one == column]
        if len(places) > 1:
            got = f"{len(places)} at {where}, the columns {' and '.join(map(str, places))} from 0"
            raise UserError(argument, f"one column {column!r}", got, fix=assignment(argument, places[0]))
        return places[0]
    if header and isinstance(column, int) and str(column) in names:
        return names.index(str(column))
    number = _number(column, header=header)
    if number is not None and -len(names) <= number < len(names):
        return number % len(names)
    if optional:
        return None
    if number is not None:
        expected = f"a column from 0 to {len(names) - 1}, or from -1 for the last"
        raise UserError(argument, expected, f"{column}, with {_counted(len(names))} at {where}", fix=f"{argument}=0")
    if not header:
        fix = f"{assignment(argument, 0)}, or data.table.header=true if the first row has the names"
        got = f"{column!r}, with {_counted(len(names))} at {where}"
        raise UserError(argument, "the number of a column, because there is no header", got, fix=fix)
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12:,} more" if len(names) > 12 else "")
    have = f"{shown} at {where}" if any(names) else f"{_counted(len(names))} without names at {where}"
    near = assignment(argument, nearest(str(column), names)) if any(names) else f"{argument}=0"
    no_header = ", or data.table.header=false" * any(map(_is_value, names))
    raise UserError(argument, f"a column {column!r}", have, fix=near + no_header)


def nearest(column: str, names: Sequence[str]) -> str:
    """The most similar of the first names (all may be too many and too long), or the last of them."""
    short = [name for name in islice(names, 1000) if len(name) <= 100]
    same = [name for name in short if name.lower() == column.lower()]
    return (same or get_close_matches(column, short, n=1, cutoff=0.4) or short[-1:] or ["..."])[0]


def _is_value(name: str) -> bool:
    """Whether a name in a header looks like a value: a number or a sentence."""
    return name.count(" ") > 3 or name.replace(".", "").lstrip("-").isdigit()


def _counted(columns: int) -> str:
    return f"{columns:,} column{'s' * (columns != 1)}"


def _number(column: Column, *, header: bool) -> int | None:
    if isinstance(column, int):
        return column
    return int(column) if not header and column.lstrip("-").isdigit() else None
