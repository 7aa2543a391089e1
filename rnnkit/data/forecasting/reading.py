"""Tables from CSV and Parquet files."""

import csv
import io
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.parquet import read_parquet
from rnnkit.data.forecasting.table import Table, check_names
from rnnkit.data.io.sources import read_bytes
from rnnkit.errors import UserError

_CHUNK = 1 << 12
"""The number of rows that are read at a time."""


def read_table(path: Path | None, argument: str, header: bool = True) -> Table:
    """Read the table of a CSV file (also `.gz` or `.xz`) or a Parquet file.

    The separator is a comma, a semicolon or a tab, whichever is most frequent in the first line.

    Args:
        path: the file; None reads CSV from standard input.
        argument: the argument that error messages name.
        header: whether the first row has the names of columns. Otherwise, they are named 1, 2, 3 and so on.

    Raises:
        UserError: the file cannot be read, is not UTF-8, is empty, or has rows with different numbers of cells. The
            message has the line.
    """
    if path is not None and path.suffix.lower() in (".parquet", ".pq"):
        return read_parquet(path, argument)
    text, source = _text(path, argument)
    lines = read_lines(text, source, argument)
    first = next(lines, None)
    if first is None:
        raise UserError(argument, "a table", f"{source}, which is empty", fix=f"{argument}=another.csv")
    names = [name.strip() for name in first] if header else [str(number) for number in range(1, len(first) + 1)]
    check_names(names, source, argument)
    columns: list[list[NDArray[Any]]] = [[] for _ in names]
    rows = iter([first]) if not header else iter(())
    count = 0
    while chunk := [*rows, *islice(lines, _CHUNK)]:
        rows = iter(())
        if set(map(len, chunk)) != {len(names)}:
            index = next(i for i, row in enumerate(chunk) if len(row) != len(names))
            raise UserError(
                argument,
                f"{len(names)} cells in every row, as in the first",
                f"{source}, line {_line(text, count + index + header)}: {len(chunk[index])} cells",
                fix="completing the row, or data.layout=rows if each row is a series",
            )
        # arrays, because Python's garbage collector would traverse lists repeatedly
        for column, cells in zip(columns, zip(*chunk, strict=True), strict=True):
            column.append(np.array(cells, object))
        count += len(chunk)
    whole = {name: np.concatenate(column) for name, column in zip(names, columns, strict=True)} if count else {}
    filled = _filled(list(whole.values()), count)
    if not filled:
        raise UserError(argument, "rows", f"{source}, which has only a header", fix=f"{argument}=another.csv")
    if filled < count:
        whole = {name: column[:filled] for name, column in whole.items()}
    return Table(
        source,
        argument,
        whole,
        filled,
        lambda row: f"line {_line(text, row + header)}",
        notes=(f"{count - filled:,} empty rows at the end are skipped",) if filled < count else (),
    )


def _filled(columns: list[NDArray[Any]], count: int) -> int:
    """The number of rows without empty rows at the end, which spreadsheets often have."""
    while len(columns) > 1 and count and not any(column[count - 1] for column in columns):
        count -= 1
    return count


def read_ragged(path: Path | None, argument: str, header: bool) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield the name and the values of each row of a file whose rows are series. Empty cells at the end are skipped.

    Raises:
        UserError: `read_table` would raise, or a cell is not a number. The message has the line.
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
    """The last line of a row, where the header is row 0. It is computed only for error messages."""
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
    try:
        is_there = path.exists()
    except (OSError, ValueError) as error:  # an invalid file name, or a folder without permission
        raise UserError(argument, "a path that can be read", str(error)[:200], fix=f"{argument}=my.csv") from error
    if not is_there:
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
