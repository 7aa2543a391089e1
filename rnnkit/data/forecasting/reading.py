"""Tables from files: CSV, with the line of whatever is wrong, and Parquet."""

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
"""Rows that are taken at a time."""


def read_table(path: Path | None, argument: str, header: bool = True) -> Table:
    """The table in a CSV file (also `.gz` or `.xz`), a Parquet file, or what comes as CSV over standard input (None).

    Commas, semicolons or tabs stand between the cells, whichever the first line has most of. Without a `header` the
    columns are named 1, 2, 3 and so on.

    Raises UserError, naming `argument`, for a file that cannot be read, is no UTF-8, is empty, or has a row with
    another number of cells than the first, with its line.
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
                f"{len(names)} cells in every row, as the first has",
                f"{source}, line {_line(text, count + index + header)}: {len(chunk[index])} cells",
                fix="completing the row, or data.layout=rows where each row is a series",
            )
        # arrays, because Python's collector of garbage would look through lists again and again
        for column, cells in zip(columns, zip(*chunk, strict=True), strict=True):
            column.append(np.array(cells, object))
        count += len(chunk)
    whole = {name: np.concatenate(column) for name, column in zip(names, columns, strict=True)} if count else {}
    filled = _filled(list(whole.values()), count)
    if not filled:
        raise UserError(argument, "rows", f"{source}, which has a header only", fix=f"{argument}=another.csv")
    if filled < count:
        whole = {name: column[:filled] for name, column in whole.items()}
    return Table(
        source,
        argument,
        whole,
        filled,
        lambda row: f"line {_line(text, row + header)}",
        notes=(f"{count - filled:,} rows at the end are empty and left out",) if filled < count else (),
    )


def _filled(columns: list[NDArray[Any]], count: int) -> int:
    """The rows up to the last of several cells that is not empty; empty ones stand at the end of many a spreadsheet."""
    while len(columns) > 1 and count and not any(column[count - 1] for column in columns):
        count -= 1
    return count


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
    try:
        is_there = path.exists()
    except (OSError, ValueError) as error:  # of a name that no file can have, or a folder that cannot be looked into
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
