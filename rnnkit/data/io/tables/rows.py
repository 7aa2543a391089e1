"""Rows of text tables as lists of cells."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO

from rnnkit.data.io.findings import Findings
from rnnkit.data.io.sources import Paths
from rnnkit.data.io.tables.building import Notation
from rnnkit.data.io.tables.dialect import Dialect, detect
from rnnkit.data.io.tables.format import TableFormat
from rnnkit.data.io.tables.records import record_blocks
from rnnkit.data.io.tables.source import table_files, texts_of
from rnnkit.errors import UserError


def rows_of(
    lines: Iterable[str],
    dialect: Dialect,
    name: str,
    argument: str,
    notes: Findings | None = None,
    *,
    first_line: int = 1,
    ragged: bool = False,
) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the last line and the cells of each row. Empty lines are skipped and counted.

    Args:
        lines: the lines, with their newlines.
        dialect: the form of the table.
        name: the name of the file, for error messages.
        argument: the argument that error messages name.
        notes: counts what is skipped.
        first_line: the number of the first line.
        ragged: whether rows may have different numbers of cells.

    Raises:
        UserError: a row has more or fewer cells than the first, or quotes are not closed. The message has the line.
    """
    counted = _Lines(lines, name, first_line, notes)
    rows = dialect.rows(counted)
    width = 0
    while True:
        try:
            number, row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise _no_rows(error, f"{name} line {counted.number}", name, argument) from error
        place = f"{name} line {first_line + number - 1}"
        width = width or len(row)
        if len(row) != width and not ragged:
            got = f"{len(row)} at {place}"
            fix = "the missing cells, quotes around cells with the delimiter, or another data.table.delimiter"
            raise UserError(argument, f"{width} columns in every row", got, fix=fix)
        yield first_line + number - 1, row


def file_rows(
    paths: Paths | None, argument: str, form: TableFormat, notes: Findings
) -> Iterator[tuple[str, list[str], Notation]]:
    """Yield the place, the cells and the notation of numbers of each row of files, without headers.

    Rows may have different numbers of cells. The text is read in blocks.
    """
    for source in table_files(paths, argument, notes):
        first, blocks = texts_of(source, argument, form, notes)
        dialect = detect(first[: 1 << 20], form, source.name, argument, named=False)
        notation = notation_of(dialect, form)
        is_header = dialect.header
        for block in record_blocks(blocks, dialect.quote):
            lines = StringIO(block.text.decode("utf-8", "surrogateescape"), newline="")
            for number, row in rows_of(
                lines, dialect, source.name, argument, notes, first_line=block.line, ragged=True
            ):
                if not is_header:
                    yield f"{source.name} line {number}", row, notation
                is_header = False


def notation_of(dialect: Dialect, form: TableFormat) -> Notation:
    """How numbers and missing values are written."""
    return Notation(dialect.decimal, dialect.thousands, form.missing_words, form.missing_numbers)


def named_columns(row: Sequence[str], dialect: Dialect, first: int = 0) -> list[str]:
    """The names of the columns of a table whose first row is given: those of the header, or numbers from `first`."""
    return [name.strip() for name in row] if dialect.header else [str(first + place) for place in range(len(row))]


class _Lines:
    """Lines with the number of the last one. Empty lines are counted in notes."""

    def __init__(self, lines: Iterable[str], name: str, first: int, notes: Findings | None) -> None:
        self._lines = iter(lines)
        self._name = name
        self._notes = notes
        self.number = first - 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        if self._notes is not None and line in ("\n", ""):
            self._notes.add("empty lines, skipped", f"{self._name} line {self.number}")
        return line


def _no_rows(error: csv.Error, place: str, name: str, argument: str) -> UserError:
    if "new-line character" in str(error):
        got = f"carriage returns in the middle of {place}"
        fix = f"tr '\\r' '\\n' < {name} > new.csv"
        return UserError(argument, "lines that end in a newline", got, fix=fix)
    fix = "closed quotes, or \"data.table.quote=''\" if quotes are not special"
    return UserError(argument, "rows of cells", f"{place}: {error}", fix=fix)
