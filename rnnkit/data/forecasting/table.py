"""Tables whose cells become numbers, words or times when they are asked for."""

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
"""What stands for no value in a text file, in any case."""


@dataclass(frozen=True)
class Table:
    """Columns by name, all of the same length.

    * `source`: the file, for messages; `argument`: the key of the command line that named it.
    * `columns`: from a name to cells: an array of strings where the file was text, else one of whatever it holds.
    * `locate`: says of a row where it stands, such as "line 7".
    * `zones`: the time zones of columns whose times are in UTC, where the file names one.
    * `notes`: what was left out in reading.
    """

    source: str
    argument: str
    columns: dict[str, NDArray[Any]]
    rows: int
    locate: Callable[[int], str]
    zones: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def place(self, row: int) -> str:
        """The file, and where in it a row stands."""
        return f"{self.source}, {self.locate(row)}"

    def cells(self, name: str, argument: str) -> NDArray[Any]:
        """The column `name`; UserError, naming `argument`, where there is none."""
        if name not in self.columns:
            have = list(self.columns)
            shown = ", ".join(have[:12]) + (f" and {len(have) - 12} more" if len(have) > 12 else "")
            near = next((column for column in have if column.lower() == name.lower()), None)
            near = near or (difflib.get_close_matches(name, have, n=1, cutoff=0.4) or have[-1:])[0]
            raise UserError(argument, f"a column of {self.source}: {shown}", repr(name), fix=f"{argument}={near}")
        return self.columns[name]

    def is_numeric(self, name: str) -> bool:
        """Whether the first cell with anything in it is a number; a column without any counts as numeric."""
        cells = self.columns[name]
        if cells.dtype != object:
            return cells.dtype.kind in "fiub"
        first = next((cell for cell in cells if not _is_missing(cell)), None)
        return first is None or _number(first) is not None

    def is_empty(self, name: str) -> bool:
        """Whether no cell of a column has anything in it."""
        cells = self.columns[name]
        return (
            all(map(_is_missing, cells)) if cells.dtype == object else cells.dtype.kind == "f" and np.isnan(cells).all()
        )

    def numbers(self, name: str, argument: str) -> NDArray[np.float64]:
        """[N], NaN where a cell is empty.

        Raises UserError, with the line, for anything else that is no finite number.
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
        """[N] strings, None where a cell is empty."""
        cells = self.cells(name, argument)
        if cells.dtype != object:
            words = [None if cell != cell else _word(cell) for cell in cells.tolist()]
        else:
            words = [None if _is_missing(cell) else cell for cell in cells]
        found = np.empty(self.rows, object)
        found[:] = words
        return found

    def joined(self, names: Sequence[str]) -> NDArray[Any]:
        """[N], a column or, of several, the text of their cells with a blank between."""
        columns = [self.cells(name, "data.time") for name in names]
        if len(columns) == 1:
            return columns[0]
        words = [self.words(name, "data.time") for name in names]
        found = np.empty(self.rows, object)
        found[:] = [" ".join(filter(None, cells)) for cells in zip(*words, strict=True)]
        return found

    def stamps(self, names: Sequence[str], time_format: str) -> Stamps:
        """The times in these columns.

        Raises UserError, with the line, for a cell that is no time of that format.
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
            fix = "data.time_format='%d/%m/%Y %H:%M', whatever the file has, or data.time=another_column"
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
        """Raises UserError for the time of a row."""
        columns = " and ".join(map(repr, names))
        raise UserError("data.time", f"{expected} of {columns}", f"{self.place(row)}: {got}", fix=fix)

    def _refuse(self, name: str, argument: str, row: int, cell: str) -> NoReturn:
        raise UserError(
            argument,
            f"a number, or nothing, in every row of column {name!r}",
            f"{self.place(row)}: {cell!r}",
            fix=f"data.categorical=[{name}] if it is a covariate whose values are names, or {argument} without it",
        )


def listed(names: Sequence[str]) -> str:
    """Names as a list that the command line reads.

    >>> listed(["a", "CO(GT)"])
    "[a,'CO(GT)']"
    """
    if len(names) > 100:
        return f"[{names[0]},...]"
    return "[" + ",".join(name if re.fullmatch(r"[A-Za-z_][\w.-]*", name) else f"'{name}'" for name in names) + "]"


def check_names(names: list[str], source: str, argument: str) -> None:
    """UserError where two columns have one name."""
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
