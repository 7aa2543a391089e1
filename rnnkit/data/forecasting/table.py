"""Tables from CSV and Parquet files, whose cells become numbers, words or times when they are asked for."""

import csv
import io
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.frequency import Times
from rnnkit.data.sources import read_bytes
from rnnkit.errors import UserError

MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))
"""What stands for no value in a text file, in any case."""
_CHUNK = 1 << 12


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
            near = next((column for column in have if column.lower() == name.lower()), have[-1])
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


def read_table(path: Path | None, argument: str, header: bool = True) -> Table:
    """The table in a CSV file (also `.gz` or `.xz`), a Parquet file, or what comes as CSV over standard input (None).

    Commas, semicolons or tabs stand between the cells, whichever the first line has most of. Without a `header` the
    columns are named 1, 2, 3 and so on.

    Raises UserError, naming `argument`, for a file that cannot be read, is no UTF-8, is empty, or has a row with
    another number of cells than the first, with its line.
    """
    if path is not None and path.suffix.lower() in (".parquet", ".pq"):
        return _parquet(path, argument)
    text, source = _text(path, argument)
    lines = read_lines(text, source, argument)
    first = next(lines, None)
    if first is None:
        raise UserError(argument, "a table", f"{source}, which is empty", fix=f"{argument}=another.csv")
    names = [name.strip() for name in first] if header else [str(number) for number in range(1, len(first) + 1)]
    _check_names(names, source, argument)
    columns: list[list[NDArray[Any]]] = [[] for _ in names]
    rows = iter([first]) if not header else iter(())
    count = 0
    while chunk := [*rows, *islice(lines, _CHUNK)]:
        rows = iter(())
        if set(map(len, chunk)) != {len(names)}:
            index = next(i for i, row in enumerate(chunk) if len(row) != len(names))
            raise UserError(
                argument,
                f"{len(names)} cells in every row, as the first has",
                f"{source}, line {_line(text, count + index + header)}: {len(chunk[index])} cells",
                fix="completing the row, or data.layout=rows where each row is a series",
            )
        # arrays, because Python's collector of garbage would look through lists again and again
        for column, cells in zip(columns, zip(*chunk, strict=True), strict=True):
            column.append(np.array(cells, object))
        count += len(chunk)
    if not count:
        raise UserError(argument, "rows", f"{source}, which has a header only", fix=f"{argument}=another.csv")
    return Table(
        source,
        argument,
        {name: np.concatenate(column) for name, column in zip(names, columns, strict=True)},
        count,
        lambda row: f"line {_line(text, row + header)}",
    )


def read_ragged(path: Path | None, argument: str, header: bool) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """The name of each row and its values, empty cells at its end left out: a file whose rows are series.

    Raises UserError, naming `argument`, as `read_table` does, and with its line for a cell that is no number.
    """
    text, source = _text(path, argument)
    lines = read_lines(text, source, argument)
    if header:
        next(lines, None)
    for number, (name, *cells) in enumerate(lines):
        end = next((end for end in range(len(cells), 0, -1) if cells[end - 1]), 0)
        row = Table(
            source,
            argument,
            {name: np.array(cells[:end], object)},
            end,
            lambda _, n=number: f"line {_line(text, n + header)}",  # type: ignore[misc]
        )
        yield name, row.numbers(name, argument)


def read_lines(text: str, source: str, argument: str) -> Iterator[list[str]]:
    """The rows of a CSV text that are not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        yield from filter(None, reader)
    except csv.Error as error:
        raise UserError(
            argument, "CSV", f"{source}, line {reader.line_num}: {error}", fix=f"{argument}=another.csv"
        ) from error


def _line(text: str, row: int) -> int:
    """The line of the file that a row, the header counted, ends in; looked for only when there is something to say."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    next(islice((cells for cells in reader if cells), row, None))
    return reader.line_num


def _delimiter(text: str) -> str:
    first = text[: text.find("\n")] if "\n" in text else text
    return max(",;\t", key=first.count)


def _text(path: Path | None, argument: str) -> tuple[str, str]:
    """The content of a file, or of standard input, and its name."""
    if path is None:
        return sys.stdin.read(), "standard input"
    if not path.exists():
        raise UserError(argument, "a CSV or Parquet file", f"{path}, which does not exist", fix=f"{argument}=my.csv")
    content = read_bytes(path, argument)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            argument,
            "UTF-8 text",
            f"{path}, line {line}, whose byte {content[error.start]:#04x} is not UTF-8",
            fix="re-encoding the file: iconv -f LATIN1 -t UTF-8 old.csv > new.csv",
        ) from error
    if "\0" in text:
        got = f"{path}, which has NUL bytes: a binary file, or UTF-16"
        raise UserError(argument, "UTF-8 text", got, fix=f"{argument}=a/text/file.csv")
    return text, str(path)


def _check_names(names: list[str], source: str, argument: str) -> None:
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        got = f"{source}, line 1: {twice!r} twice"
        raise UserError(argument, "a header with distinct names", got, fix="renaming one, or data.header=false")


def _parquet(path: Path, argument: str) -> Table:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise UserError(
            argument, "pyarrow, to read Parquet", "it is not installed", fix="pip install 'rnnkit[timeseries]'"
        ) from error
    try:
        table = parquet.read_table(path)
    except (OSError, arrow.ArrowException) as error:
        raise UserError(
            argument, "a Parquet file that can be read", f"{path}: {error}", fix=f"{argument}=another"
        ) from error
    columns: dict[str, Any] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type
        if arrow.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
        if arrow.types.is_decimal(kind) or arrow.types.is_boolean(kind):
            column = column.cast("float64")
        values = column.to_numpy()
        is_time = arrow.types.is_timestamp(kind) or arrow.types.is_date(kind)
        columns[name] = np.asarray(values, "datetime64[us]") if is_time else values
    _check_names(table.column_names, str(path), argument)
    if not table.num_rows:
        raise UserError(argument, "rows", f"{path}, which has none", fix=f"{argument}=another.parquet")
    return Table(str(path), argument, columns, table.num_rows, lambda row: f"row {row + 1}")


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
