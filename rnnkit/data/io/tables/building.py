"""Columns of a table, built block by block: as numbers where all cells are numbers, else as text."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.io.tables.format import MISSING
from rnnkit.data.io.tables.records import PADDING, Cells

NARROW = 48
"""Bytes up to which the cells of a column are kept in an array of bytes; longer text is kept as Python objects."""


class Notation(NamedTuple):
    """How numbers and missing values are written."""

    decimal: str = "."
    thousands: str = ""
    missing_words: frozenset[str] = MISSING
    missing_numbers: tuple[float, ...] = ()

    def is_missing(self, cell: str | None) -> bool:
        """Whether a cell is one of the notations of a missing value."""
        return cell is None or cell.strip().lower() in self.missing_words

    def number(self, cell: str) -> float | None:
        """The number in a cell, NaN if it is missing; None if it is neither.

        >>> Notation(",", ".").number("1.234,5"), Notation().number("1_000"), Notation().number("n/a")
        (1234.5, None, nan)
        """
        plain = cell.strip()
        if plain.lower() in self.missing_words:
            return np.nan
        if self.thousands and self.thousands in plain:
            whole, mark, rest = plain.partition(self.decimal)
            groups = whole.lstrip("+-").split(self.thousands)
            if not 0 < len(groups[0]) < 4 or any(len(group) != 3 for group in groups[1:]):  # a date, not a number
                return None
            plain = whole.replace(self.thousands, "") + mark + rest
        if self.decimal != ".":
            if "." in plain:
                return None
            plain = plain.replace(self.decimal, ".")
        try:
            return None if "_" in plain else float(plain)  # Python accepts 1_000 as a number
        except ValueError:
            return None

    def read(self, cells: Cells, column: int) -> NDArray[np.float64] | None:
        """The numbers of a column of a block, NaN for missing values; None if a cell is neither."""
        values, odd = cells.numbers(column, self.decimal)
        known: dict[str, float | None] = {}
        for row in odd.tolist():
            cell = cells.text(column, row)
            if cell not in known:
                known[cell] = self.number(cell)
            number = known[cell]
            if number is None:
                return None
            values[row] = number
        return self.without_missing(values)

    def read_column(self, cells: NDArray[Any]) -> NDArray[np.float64] | None:
        """The numbers of a part of a column of text, NaN for missing values; None if a cell is neither."""
        if cells.dtype.kind != "S":
            return self.read_words(texts(cells))
        buffer = np.concatenate([np.frombuffer(cells.tobytes(), np.uint8), np.zeros(PADDING, np.uint8)])
        starts = np.arange(len(cells)) * cells.dtype.itemsize
        widths = np.strings.str_len(cells).astype(np.int64)
        return self.read(Cells(buffer, starts[:, None], widths[:, None]), 0)

    def read_words(self, cells: Sequence[str]) -> NDArray[np.float64] | None:
        """The numbers of cells, NaN for missing values; None if a cell is neither."""
        values = np.empty(len(cells))
        for row, cell in enumerate(cells):
            number = self.number(cell)
            if number is None:
                return None
            values[row] = number
        return self.without_missing(values)

    def without_missing(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values with NaN in place of the numbers that stand for missing values."""
        if self.missing_numbers:
            values[np.isin(values, self.missing_numbers)] = np.nan
        return values


class ColumnBuilder:
    """One column of a table while it is read.

    Args:
        notation: see `Notation`.
        is_text: whether to keep all cells as text.
    """

    def __init__(self, notation: Notation, *, is_text: bool) -> None:
        self._notation = notation
        self._is_text = is_text
        self._parts: list[NDArray[Any]] = []

    def add_block(self, cells: Cells, column: int) -> None:
        """Add the cells of a block."""
        values = None if self._is_text else self._notation.read(cells, column)
        if values is not None:
            self._parts.append(values)
        elif int(cells.widths[:, column].max(initial=0)) <= NARROW:
            self._parts.append(cells.words(column))
        else:
            self._parts.append(_objects([cells.text(column, row) for row in range(len(cells.starts))]))

    def add_words(self, cells: Sequence[str]) -> None:
        """Add cells."""
        values = None if self._is_text else self._notation.read_words(cells)
        self._parts.append(_narrow(cells) if values is None else values)

    def finish(self) -> NDArray[Any]:
        """The whole column: float64 if all cells are numbers or missing, else text as bytes or Python objects."""
        parts, self._parts = self._parts, []
        if not parts:
            return np.zeros(0)
        if any(part.dtype.kind != "f" for part in parts):
            parts = [_written(part, self._notation.decimal) if part.dtype.kind == "f" else part for part in parts]
        if any(part.dtype == object for part in parts):
            parts = [_objects(texts(part)) if part.dtype != object else part for part in parts]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def texts(cells: NDArray[Any]) -> list[str]:
    """The cells of a column of text as strings."""
    if cells.dtype.kind != "S":
        return ["" if cell is None else str(cell) for cell in cells]
    return [cell.decode("utf-8", "surrogateescape") for cell in cells.tolist()]


def _narrow(cells: Sequence[str]) -> NDArray[Any]:
    encoded = [cell.encode("utf-8", "surrogateescape") for cell in cells]
    widest = max(map(len, encoded), default=1)
    is_exact = widest <= NARROW and not any(cell.endswith(b"\0") for cell in encoded)
    return np.array(encoded, f"S{max(1, widest)}") if is_exact else _objects(cells)


def _objects(cells: Sequence[str]) -> NDArray[Any]:
    found = np.empty(len(cells), object)
    found[:] = cells
    return found


def _written(values: NDArray[np.float64], decimal: str) -> NDArray[Any]:
    """Numbers of a block as text, for a column that has words in another block."""
    plain = [
        "" if value != value else str(int(value)) if value.is_integer() else repr(value) for value in values.tolist()
    ]
    return _narrow([cell.replace(".", decimal) for cell in plain])
