"""The times in columns of a table."""

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.io.tables.table import CHUNK, Table
from rnnkit.data.io.times.stamps import EPOCHS, NUMBER, Stamps, read_numbers, read_stamps
from rnnkit.errors import UserError


class TimeColumns:
    """The cells of one or several columns, joined with spaces.

    Attributes:
        names: the columns.
    """

    def __init__(self, table: Table, names: Sequence[str]) -> None:
        self.names = list(names)
        self._table = table
        for name in names:
            table.cells(name, "data.time")

    def __len__(self) -> int:
        return self._table.rows

    @property
    def is_time(self) -> bool:
        """Whether the file itself has times, as in Parquet."""
        return len(self.names) == 1 and self._table.columns[self.names[0]].dtype.kind == "M"

    @property
    def is_numeric(self) -> bool:
        """Whether there is one column of numbers."""
        return len(self.names) == 1 and self._table.is_numeric(self.names[0])

    def strings(self, rows: Any = slice(None)) -> list[str]:
        """Some cells as text, "" for missing ones."""
        columns = [self._table.strings(name, rows) for name in self.names]
        return (
            columns[0] if len(columns) == 1 else [" ".join(filter(None, cells)) for cells in zip(*columns, strict=True)]
        )

    def cell(self, row: int) -> str:
        """One cell as text."""
        return self.strings(slice(row, row + 1))[0]

    def first(self) -> str | None:
        """The first cell that is not missing."""
        is_missing = self._table.notation.is_missing
        for start in range(0, len(self), CHUNK):
            for cell in self.strings(slice(start, start + CHUNK)):
                if not is_missing(cell):
                    return cell
        return None

    def read(self, time_format: str) -> tuple[Stamps, int | None]:
        """The times of all cells, and the first row that does not match the format; see `read_stamps`."""
        parts = []
        for start in range(0, len(self), CHUNK):
            stamps, row = read_stamps(self.strings(slice(start, start + CHUNK)), time_format)
            if row is not None:
                return stamps, start + row
            parts.append(stamps)
        return _joined(parts), None

    def stamps(self, time_format: str) -> Stamps:
        """The times.

        Raises:
            UserError: a cell does not match the format. The message has the line.
        """
        if self.is_time:
            return self._complete(Stamps(self._table.columns[self.names[0]].astype("datetime64[us]"), None))
        if len(self.names) == 1 and (time_format == NUMBER or time_format in EPOCHS or self.is_numeric):
            values = self._table.numbers(self.names[0], "data.time")
            self._complete(Stamps(values, None))
            times = read_numbers(values, time_format)
            if times is not None:
                return Stamps(times, None)
        stamps, row = self.read(time_format)
        if row is not None:
            cell = self.cell(row)
            if self._table.notation.is_missing(cell):
                self.refuse(row, "none", "a time in every row", "a file whose rows all have one")
            fix = (
                "data.times.format='%d/%m/%Y %H:%M' or the format of the file, data.time=another_column, or the file "
                "without rows that have no time, such as totals"
            )
            self.refuse(row, repr(cell), f"a time of the form {time_format}", fix)
        return stamps

    def refuse(self, row: int, got: str, expected: str, fix: str) -> NoReturn:
        """Raise UserError for the time of a row."""
        columns = " and ".join(map(repr, self.names))
        raise UserError("data.time", f"{expected} of {columns}", f"{got} at {self._table.place(row)}", fix=fix)

    def _complete(self, stamps: Stamps) -> Stamps:
        times = stamps.times
        absent = np.isnat(times) if times.dtype.kind == "M" else np.isnan(times)
        if absent.any():
            self.refuse(int(absent.argmax()), "none", "a time in every row", "a file whose rows all have one")
        return stamps


def _joined(parts: Sequence[Stamps]) -> Stamps:
    times = np.concatenate([part.times for part in parts])
    if all(part.offsets is None for part in parts):
        return Stamps(times, None)
    return Stamps(times, np.concatenate([_offsets(part) for part in parts]))


def _offsets(part: Stamps) -> NDArray[Any]:
    if part.offsets is not None:
        return part.offsets
    return np.full(len(part.times), np.timedelta64("NaT"), "timedelta64[us]")
