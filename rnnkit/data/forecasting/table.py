"""Tables whose cells are converted on demand to numbers, words or times."""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.stamps import EPOCHS, NUMBER, Stamps, read_numbers, read_stamps
from rnnkit.errors import UserError

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))
"""Notations of a missing value in a text file, in lower case."""


@dataclass(frozen=True)
class Table:
    """Named columns of equal length.

    Attributes:
        source: the file, for error messages.
        argument: the argument that named the file.
        columns: the cells of each column: an array of strings for a text file, else of the type in the file.
        rows: the number of rows.
        locate: a function from a row to its place in the file, such as "line 7".
        zones: the time zones of columns whose times are in UTC, if the file names them.
        notes: notes on what was skipped in reading.
    """

    source: str
    argument: str
    columns: dict[str, NDArray[Any]]
    rows: int
    locate: Callable[[int], str]
    zones: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def place(self, row: int) -> str:
        """The file and the place of a row."""
        return f"{self.source}, {self.locate(row)}"

    def cells(self, name: str, argument: str) -> NDArray[Any]:
        """The cells of a column.

        Raises:
            UserError: there is no such column. The message names `argument`.
        """
        if name not in self.columns:
            have = list(self.columns)
            shown = ", ".join(have[:12]) + (f" and {len(have) - 12} more" if len(have) > 12 else "")
            near = next((column for column in have if column.lower() == name.lower()), None)
            near = near or (difflib.get_close_matches(name, have, n=1, cutoff=0.4) or have[-1:])[0]
            raise UserError(argument, f"a column of {self.source}: {shown}", repr(name), fix=f"{argument}={near}")
        return self.columns[name]

    def is_numeric(self, name: str) -> bool:
        """Whether the first nonempty cell is a number. An empty column is numeric."""
        cells = self.columns[name]
        if cells.dtype != object:
            return cells.dtype.kind in "fiub"
        first = next((cell for cell in cells if not _is_missing(cell)), None)
        return first is None or _number(first) is not None

    def is_empty(self, name: str) -> bool:
        """Whether all cells of a column are empty."""
        cells = self.columns[name]
        return (
            all(map(_is_missing, cells)) if cells.dtype == object else cells.dtype.kind == "f" and np.isnan(cells).all()
        )

    def numbers(self, name: str, argument: str) -> NDArray[np.float64]:
        """The numbers of a column [N]; NaN for empty cells.

        Raises:
            UserError: a cell is not a finite number. The message has the line.
        """
        cells = self.cells(name, argument)
        if cells.dtype.kind == "M":
            self._refuse(name, argument, 0, str(cells[0]))
        try:
            values = cells.astype(np.float64)
        except ValueError:
            filled = np.array(["nan" if _is_missing(cell) else cell for cell in cells], object)
            try:
                values = filled.astype(np.float64)
            except ValueError:
                row = next(row for row, cell in enumerate(filled) if _number(cell) is None)
                self._refuse(name, argument, row, filled[row])
        infinite = np.isinf(values)
        if infinite.any():
            row = int(infinite.argmax())
            self._refuse(name, argument, row, str(values[row]))
        return values

    def words(self, name: str, argument: str) -> NDArray[np.object_]:
        """The strings of a column [N]; None for empty cells."""
        cells = self.cells(name, argument)
        if cells.dtype != object:
            words = [None if cell != cell else _word(cell) for cell in cells.tolist()]
        else:
            words = [None if _is_missing(cell) else cell for cell in cells]
        found = np.empty(self.rows, object)
        found[:] = words
        return found

    def joined(self, names: Sequence[str]) -> NDArray[Any]:
        """The cells of a column, or the cells of several columns joined with spaces, [N]."""
        columns = [self.cells(name, "data.time") for name in names]
        if len(columns) == 1:
            return columns[0]
        words = [self.words(name, "data.time") for name in names]
        found = np.empty(self.rows, object)
        found[:] = [" ".join(filter(None, cells)) for cells in zip(*words, strict=True)]
        return found

    def stamps(self, names: Sequence[str], time_format: str) -> Stamps:
        """The times in columns.

        Raises:
            UserError: a cell does not match the format. The message has the line.
        """
        cells = self.joined(names)
        if cells.dtype.kind == "M":
            return self._complete(names, Stamps(cells.astype("datetime64[us]"), None))
        if len(names) == 1 and (time_format == NUMBER or time_format in EPOCHS or self.is_numeric(names[0])):
            values = self.numbers(names[0], "data.time")
            self._complete(names, Stamps(values, None))
            times = read_numbers(values, time_format)
            if times is not None:
                return Stamps(times, None)
        text = ["" if cell is None else str(cell) for cell in cells]
        stamps, row = read_stamps(text, time_format)
        if row is not None:
            if _is_missing(text[row]):
                self.refuse_time(names, row, "none", "a time in every row", "a file whose rows all have one")
            fix = "data.time_format='%d/%m/%Y %H:%M' or the format of the file, or data.time=another_column"
            self.refuse_time(names, row, repr(text[row]), f"a time of the form {time_format}", fix)
        return stamps

    def _complete(self, names: Sequence[str], stamps: Stamps) -> Stamps:
        times = stamps.times
        absent = np.isnat(times) if times.dtype.kind == "M" else np.isnan(times)
        if absent.any():
            row = int(absent.argmax())
            self.refuse_time(names, row, "none", "a time in every row", "a file whose rows all have one")
        return stamps

    def refuse_time(self, names: Sequence[str], row: int, got: str, expected: str, fix: str) -> NoReturn:
        """Raise UserError for the time of a row."""
        columns = " and ".join(map(repr, names))
        raise UserError("data.time", f"{expected} of {columns}", f"{self.place(row)}: {got}", fix=fix)

    def _refuse(self, name: str, argument: str, row: int, cell: str) -> NoReturn:
        raise UserError(
            argument,
            f"a number or an empty cell in every row of column {name!r}",
            f"{self.place(row)}: {cell!r}",
            fix=f"data.categorical=[{name}] if it is a categorical covariate, or {argument} without it",
        )


def listed(names: Sequence[str]) -> str:
    """Format names as a list for the command line.

    >>> listed(["a", "CO(GT)"])
    "[a,'CO(GT)']"
    """
    if len(names) > 100:
        return f"[{names[0]},...]"
    return "[" + ",".join(name if re.fullmatch(r"[A-Za-z_][\w.-]*", name) else f"'{name}'" for name in names) + "]"


def check_names(names: list[str], source: str, argument: str) -> None:
    """Raise UserError if two columns have the same name."""
    twice = next((name for name, times in Counter(names).items() if times > 1), None)
    if twice is not None:
        got = f"{source}, line 1: {twice!r} twice"
        raise UserError(argument, "a header with distinct names", got, fix="renaming one, or data.header=false")


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _word(cell: Any) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _is_missing(cell: str | None) -> bool:
    return cell is None or cell.strip().lower() in MISSING
