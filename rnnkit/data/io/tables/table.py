"""Tables whose cells are converted on demand to numbers or words."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.io.tables.building import Notation, texts
from rnnkit.data.io.tables.positions import Column, position
from rnnkit.errors import UserError
from rnnkit.quoting import assignment

LONGEST_NOTATION = 20
"""Characters of a cell up to which it is proposed as a notation of a missing value."""
CHUNK = 1 << 16
"""The number of cells of text that are converted at a time."""


@dataclass(frozen=True)
class Table:
    """Named columns of equal length.

    Attributes:
        source: the file, for error messages.
        argument: the argument that named the file.
        columns: the cells of each column: float64 for numbers, datetime64 for times of a Parquet file, else text.
        rows: the number of rows.
        locate: a function from a row to its file and line.
        notation: how numbers and missing values are written.
        zones: the time zones of columns whose times are in UTC, if the file names them.
        notes: notes on what was detected and skipped in reading.
        header: whether the names of the columns are in the file.
    """

    source: str
    argument: str
    columns: dict[str, NDArray[Any]]
    rows: int
    locate: Callable[[int], str]
    notation: Notation = field(default_factory=Notation)
    zones: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    header: bool = True

    def place(self, row: int) -> str:
        """The file and the line of a row."""
        return self.locate(row)

    def cells(self, name: str, argument: str) -> NDArray[Any]:
        """The cells of a column as they are stored.

        Raises:
            UserError: there is no such column. The message names `argument`.
        """
        if name not in self.columns:
            position(name, list(self.columns), argument, self.source, header=self.header)
        return self.columns[name]

    def name_of(self, column: Column, argument: str) -> str:
        """The name of a column that is given by name or number.

        Raises:
            UserError: there is no such column. The message names `argument`.
        """
        names = list(self.columns)
        place = position(column, names, argument, self.source, header=self.header)
        assert place is not None
        return names[place]

    def is_text(self, name: str) -> bool:
        """Whether a column has words, or numbers that are kept as they are written."""
        return self.columns[name].dtype.kind in "SO"

    def strings(self, name: str, rows: Any = slice(None)) -> list[str]:
        """Some cells of a column as text, "" for missing ones."""
        cells = self.columns[name][rows]
        if cells.dtype.kind in "SO":
            return texts(cells)
        return ["" if cell != cell else _word(cell) for cell in cells.tolist()]

    def cell(self, name: str, row: int) -> str:
        """One cell as text."""
        return self.strings(name, slice(row, row + 1))[0]

    def first(self, name: str) -> str | None:
        """The first cell of a column that is not missing."""
        is_missing = self.notation.is_missing
        for start in range(0, self.rows, CHUNK):
            for cell in self.strings(name, slice(start, start + CHUNK)):
                if not is_missing(cell):
                    return cell
        return None

    def is_numeric(self, name: str) -> bool:
        """Whether the first nonempty cell is a number. An empty column is numeric."""
        cells = self.columns[name]
        if not self.is_text(name):
            return cells.dtype.kind in "fiub"
        first = self.first(name)
        return first is None or self.notation.number(first) is not None

    def is_empty(self, name: str) -> bool:
        """Whether all cells of a column are missing."""
        cells = self.columns[name]
        return self.first(name) is None if self.is_text(name) else cells.dtype.kind == "f" and np.isnan(cells).all()

    def numbers(self, name: str, argument: str, fix: str | None = None) -> NDArray[np.float64]:
        """The numbers of a column [N]; NaN for missing values. `fix` is another fix than leaving out the column.

        Raises:
            UserError: a cell is not a finite number. The message has the line.
        """
        cells = self.cells(name, argument)
        if cells.dtype.kind == "M":
            raise self.no_number(name, argument, 0, fix)
        if self.is_text(name):
            parts = []
            for start in range(0, self.rows, CHUNK):
                part = cells[start : start + CHUNK]
                values = self.notation.read_column(part)
                if values is None:
                    bad = next(row for row, cell in enumerate(texts(part)) if self.notation.number(cell) is None)
                    raise self.no_number(name, argument, start + bad, fix)
                parts.append(values)
            values = np.concatenate(parts) if parts else np.zeros(0)
        else:
            values = cells.astype(np.float64, copy=False)
        infinite = np.isinf(values)
        if infinite.any():
            raise self.no_number(name, argument, int(infinite.argmax()), fix)
        return values

    def words(self, name: str, argument: str) -> NDArray[np.object_]:
        """The strings of a column [N]; None for missing values. Equal cells are one object."""
        self.cells(name, argument)
        found = np.empty(self.rows, object)
        known: dict[Any, str | None] = {}
        for start in range(0, self.rows, CHUNK):
            part = self.strings(name, slice(start, start + CHUNK))
            for row, cell in enumerate(part, start):
                if cell not in known:
                    known[cell] = None if self.notation.is_missing(cell) else cell
                found[row] = known[cell]
        return found

    def no_number(self, name: str, argument: str, row: int, fix: str | None = None) -> UserError:
        """The error for a cell that is not a number."""
        cell = self.cell(name, row).strip()
        fixes = []
        if self.notation.decimal == "." and re.fullmatch(r"[+-]?[\d.]*,\d+", cell):
            fixes.append(assignment("data.table.decimal", ","))
        elif re.fullmatch(r"[+-]?\d[\d.,' ]*\d", cell):
            mark = next((mark for mark in ".,'" if mark != self.notation.decimal and mark in cell), " ")
            fixes.append(f"{assignment('data.table.thousands', mark)} if it is a mark of thousands")
        elif self.is_numeric(name) and len(cell) <= LONGEST_NOTATION:
            fixes.append(f"{assignment('data.table.missing', [cell])} if it stands for a missing value")
        expected = f"a number or an empty cell in every row of column {name!r}"
        fixes.append(fix or f"{argument} without it")
        return UserError(argument, expected, f"{cell!r} at {self.place(row)}", fix=", or ".join(fixes))


def _word(cell: Any) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
