"""Tables whose cells become numbers, words or times when they are asked for."""

import difflib
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.frequency import Times
from rnnkit.errors import UserError

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))
"""What stands for no value in a text file, in any case."""


@dataclass(frozen=True)
class Table:
    """Columns by name, all of the same length.

    * `source`: the file, for messages; `argument`: the key of the command line that named it.
    * `columns`: from a name to cells: an array of strings where the file was text, else one of whatever it holds.
    * `locate`: says of a row where it stands, such as "line 7".
    """

    source: str
    argument: str
    columns: dict[str, NDArray[Any]]
    rows: int
    locate: Callable[[int], str]

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

    def times(self, name: str, time_format: str | None) -> Times:
        """[N] `datetime64[us]`, in UTC where the file names a zone; float64 where the column holds plain numbers.

        Raises UserError, with the line, for a cell that is no time.
        """
        cells = self.cells(name, "data.time")
        if cells.dtype.kind == "M":
            times = cells.astype("datetime64[us]")
        elif time_format is None and self.is_numeric(name) and not _is_year_month(cells):
            times = self.numbers(name, "data.time")
        else:
            times = self._parsed(name, [str(cell) for cell in cells], time_format)
        if (absent := np.isnat(times) if np.issubdtype(times.dtype, np.datetime64) else np.isnan(times)).any():
            raise UserError(
                "data.time",
                f"a time in every row of {name!r}",
                f"{self.place(int(absent.argmax()))}: none",
                fix="a file whose rows all have one",
            )
        return times

    def _parsed(self, name: str, cells: list[str], time_format: str | None) -> Times:
        if time_format is None:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")  # of zones, which numpy leaves out
                    return np.array(cells, "datetime64[us]")
            except (ValueError, UserWarning, DeprecationWarning):
                pass  # the slow way can read more, and tells the line of what it cannot
        times = np.empty(len(cells), "datetime64[us]")
        for row, cell in enumerate(cells):
            found = parsed_time(cell, time_format)
            if found is None:
                how = f"of the form {time_format}" if time_format else "such as 2024-12-31 or 2024-12-31 23:00:00"
                raise UserError(
                    "data.time",
                    f"a time {how} in column {name!r}",
                    f"{self.place(row)}: {cell!r}",
                    fix="data.time_format='%d/%m/%Y %H:%M', whatever the file has, or data.time=another_column",
                )
            times[row] = found
        return times

    def _refuse(self, name: str, argument: str, row: int, cell: str) -> NoReturn:
        raise UserError(
            argument,
            f"a number, or nothing, in every row of column {name!r}",
            f"{self.place(row)}: {cell!r}",
            fix=f"data.categorical=[{name}] if it is a covariate whose values are names, or {argument} without it",
        )


def parsed_time(cell: str, time_format: str | None) -> datetime | None:
    """The time that a cell holds, in UTC where it names a zone; None where it holds none."""
    try:
        if time_format is not None:
            found = datetime.strptime(cell.strip(), time_format)
        else:
            found = datetime.fromisoformat(cell.strip() + ("-01" if _is_year_month([cell]) else ""))
    except ValueError:
        return None
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


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


def _is_year_month(cells: Any) -> bool:
    first = next(iter(cells), "")
    return isinstance(first, str) and len(first.strip()) == 7 and first.strip()[4:5] == "-"
