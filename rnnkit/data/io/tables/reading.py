"""Reading of whole tables with typed columns."""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from io import StringIO
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.io.findings import Findings
from rnnkit.data.io.sources import Paths
from rnnkit.data.io.tables.building import ColumnBuilder, Notation
from rnnkit.data.io.tables.dialect import Dialect, detect
from rnnkit.data.io.tables.format import TableFormat
from rnnkit.data.io.tables.objects import as_cell, read_objects
from rnnkit.data.io.tables.parquet import read_parquet
from rnnkit.data.io.tables.records import Block, divide, record_blocks
from rnnkit.data.io.tables.rows import named_columns, notation_of, rows_of
from rnnkit.data.io.tables.source import Source, table_files, texts_of
from rnnkit.data.io.tables.table import Table
from rnnkit.errors import UserError

_ROWS = 1 << 12
"""The number of rows that are converted at a time if they are not converted as a block."""
T = TypeVar("T")
TextColumns = Callable[[Sequence[str]], Collection[int]]
"""A function from the names of all columns to the numbers of those that are kept as they are written."""


def read_table(
    paths: Paths | None,
    argument: str,
    form: TableFormat,
    *,
    named: bool = False,
    text_columns: TextColumns = lambda names: (),
    notes: Findings | None = None,
    first: int = 0,
) -> Table:
    """Read a table from text with delimiters, JSON lines or Parquet. Several files with the same columns are joined.

    Args:
        paths: a file, a folder, a glob or a list of these; None reads standard input.
        argument: the argument that error messages name.
        form: what the user stated about the format.
        named: whether a column is given by name, so that there is a header.
        text_columns: the columns whose cells are kept as they are written, even if they are numbers.
        notes: counts what is skipped or assumed. None prints it.
        first: the name of the first column of a table without a header.

    Raises:
        UserError: a file cannot be read, is empty, has rows with different numbers of cells, or has other columns than
            the file before. The message has the line.
    """
    findings = Findings() if notes is None else notes
    builder = _TableBuilder(argument, form, text_columns, findings, first)
    sources = table_files(paths, argument, findings)
    for source in sources:
        builder.read(source, named=named)
    table = builder.finish(sources)
    if notes is None:
        findings.print()
    return table


def table_of_text(
    text: str,
    name: str,
    argument: str,
    form: TableFormat,
    *,
    named: bool = False,
    text_columns: TextColumns = lambda names: (),
    notes: Findings,
) -> Table:
    """Read a table from the text of a file; see `read_table`."""
    builder = _TableBuilder(argument, form, text_columns, notes)
    source = Source(name, None)
    if form.of_file(name) == "jsonl":
        builder.read_objects(source, iter([text]))
    else:
        builder.read_text(source, text, iter([text]), named=named)
    return builder.finish([source])


class _TableBuilder:
    """A table while its files are read."""

    def __init__(
        self, argument: str, form: TableFormat, text_columns: TextColumns, notes: Findings, first: int = 0
    ) -> None:
        self.argument = argument
        self.form = form
        self.notes = notes
        self._text_columns = text_columns
        self._first = first
        self._dialect: Dialect | None = None
        self._notation = Notation(".", "", form.missing_words, form.missing_numbers)
        self._columns: dict[str, ColumnBuilder] = {}
        self._whole: dict[str, list[NDArray[Any]]] = {}  # of Parquet files
        self._zones: dict[str, str] = {}
        self._rows = 0
        self._places: list[tuple[int, str, int | NDArray[np.int64]]] = []
        self._has_header = True

    def read(self, source: Source, *, named: bool) -> None:
        """Add the rows of a file."""
        format_ = self.form.of_file(source.name, self.argument)
        if format_ == "parquet" and source.path is not None:
            columns, zones, rows = read_parquet(source.path, self.argument)
            self._check_columns(list(columns), list(self._whole), source.name)
            for name, cells in columns.items():
                self._whole.setdefault(name, []).append(cells)
            self._zones |= zones
            self._places.append((self._rows, source.name, 1))
            self._rows += rows
            return
        first, blocks = texts_of(source, self.argument, self.form, self.notes)
        if source.path is None and self.form.format is None and first.lstrip().startswith("{"):
            format_ = "jsonl"
        if format_ == "jsonl":
            self.read_objects(source, blocks)
        elif first.strip():
            self.read_text(source, first, blocks, named=named)
        elif source.path is None or not self._columns:
            got = f"{source.name}, which is empty"
            raise UserError(self.argument, "a table", got, fix=f"{self.argument}=another.csv")

    def read_text(self, source: Source, first: str, blocks: Iterator[str], *, named: bool) -> None:
        """Add the rows of text with delimiters, of which `first` is the beginning."""
        if self._dialect is None:
            sample = first[: 1 << 20]
            self._dialect = detect(sample, self.form, source.name, self.argument, named=named)
            self._notation = notation_of(self._dialect, self.form)
            self._has_header = self._dialect.header
        dialect = self._dialect
        records = record_blocks(blocks, dialect.quote)
        begin = next(records)
        line, row = next(self._rows_of(begin, source))
        head, rest = _cut(begin, line)
        names = named_columns(row, dialect, self._first)
        self._check_columns(names, list(self._columns), source.name)
        if not self._columns:
            self._check_names(names, source.name, line)
            written = self._text_columns(names)
            for place, name in enumerate(names):
                self._columns[name] = ColumnBuilder(self._notation, is_text=place in written)
        again = b"\n" + head + b"\n" if dialect.header and head else None
        for block in chain([rest if dialect.header else begin], records):
            self._add(block, source, row if dialect.header else None, again)

    def _add(self, block: Block, source: Source, header: Sequence[str] | None, again: bytes | None) -> None:
        """Add the rows of a block."""
        assert self._dialect is not None
        if b"\n\xef\xbb\xbf" in block.text or block.text.startswith(b"\xef\xbb\xbf"):
            self.notes.add("byte order marks inside a file, which are dropped", source.name)
            block = Block(re.sub(rb"(^|\n)(\xef\xbb\xbf)+", rb"\1", block.text), block.line)
        is_repeated = again is not None and again in b"\n" + block.text + b"\n"
        builders = list(self._columns.values())
        cells = None
        if not is_repeated and block.text:
            cells = divide(block.text, self._dialect.delimiter, self._dialect.quote, len(builders))
        if cells is not None:
            for place, builder in enumerate(builders):
                builder.add_block(cells, place)
            self._places.append((self._rows, source.name, block.line))
            self._rows += len(cells.starts)
            return
        for rows in _batches(self._sound(self._rows_of(block, source), header, source), _ROWS):
            self._add_rows([row for _, row in rows], [line for line, _ in rows], source)

    def _add_rows(self, rows: Sequence[Sequence[str]], lines: Sequence[int], source: Source) -> None:
        for builder, cells in zip(self._columns.values(), zip(*rows, strict=True), strict=True):
            builder.add_words([cell.strip() for cell in cells])
        self._places.append((self._rows, source.name, np.array(lines)))
        self._rows += len(rows)

    def _rows_of(self, block: Block, source: Source) -> Iterator[tuple[int, list[str]]]:
        assert self._dialect is not None
        lines = StringIO(block.text.decode("utf-8", "surrogateescape"), newline="")
        return rows_of(lines, self._dialect, source.name, self.argument, first_line=block.line, ragged=True)

    def _sound(
        self, rows: Iterator[tuple[int, list[str]]], header: Sequence[str] | None, source: Source
    ) -> Iterator[tuple[int, list[str]]]:
        """The rows that are not a repeated header, all with as many cells as there are columns."""
        width = len(self._columns)
        for line, row in rows:
            if header is not None and row == header:
                self.notes.add("repeated headers, skipped", f"{source.name} line {line}")
                continue
            if len(row) > width and not any(cell.strip() for cell in row[width:]):
                self.notes.add("rows with empty cells behind the last column, which are dropped", f"line {line}")
                row = row[:width]
            if len(row) != width:
                got = f"{len(row)} at {source.name} line {line}"
                fix = "completing the row, quotes around cells with the delimiter, or another data.table.delimiter"
                raise UserError(self.argument, f"{width} cells in every row, as in the first", got, fix=fix)
            yield line, row

    def read_objects(self, source: Source, blocks: Iterator[str]) -> None:
        """Add the rows of JSON lines."""
        lines = (line for block in record_blocks(blocks, "") for line in block.text.decode().splitlines(True))
        for rows in _batches(read_objects(lines, source.name, self.argument), _ROWS):
            names = [*dict.fromkeys([*self._columns, *(name for _, row in rows for name in row)])]
            written = self._text_columns(names)
            for place, name in enumerate(names):
                if name not in self._columns:
                    column = ColumnBuilder(self._notation, is_text=place in written)
                    if self._rows:
                        column.add_words([""] * self._rows)
                        self.notes.add("keys that are not in the first rows, read as missing there", name)
                    self._columns[name] = column
            numbers = [number for number, _ in rows]
            for name, column in self._columns.items():
                column.add_words(
                    [as_cell(row.get(name), f"{source.name} line {n}", self.argument).strip() for n, row in rows]
                )
            self._places.append((self._rows, source.name, np.array(numbers)))
            self._rows += len(rows)

    def finish(self, sources: Sequence[Source]) -> Table:
        """The table, without empty rows at its end and columns that have neither a name nor a value."""
        source = sources[0].name if len(sources) == 1 else f"{sources[0].name} and {len(sources) - 1} more"
        columns = {name: column.finish() for name, column in self._columns.items()}
        columns |= {name: np.concatenate(parts) for name, parts in self._whole.items()}
        filled = _filled(list(columns.values()), self._rows)
        if not filled:
            got = f"{source}, which has only a header" if columns and self._has_header else f"{source}, which has none"
            raise UserError(self.argument, "rows", got, fix=f"{self.argument}=another.csv")
        if filled < self._rows:
            columns = {name: column[:filled] for name, column in columns.items()}
        described = self._dialect.described() if self._dialect else ""
        table = Table(
            source,
            self.argument,
            columns,
            filled,
            self._locator(),
            self._notation,
            self._zones,
            header=self._has_header,
            notes=(
                *([f"read with {described}"] if described else []),
                *([f"{self._rows - filled:,} empty rows at the end are skipped"] if filled < self._rows else []),
            ),
        )
        for name in [name for name in columns if not name.strip() or _UNNAMED.fullmatch(name)]:
            if table.is_empty(name) and len(columns) > 1:
                del columns[name]
                self.notes.add("columns without a name and values, skipped", source)
        return table

    def _check_columns(self, names: Sequence[str], known: Sequence[str], source: str) -> None:
        if known and list(names) != list(known):
            other = next((name for name in names if name not in known), None) or ", ".join(names[:12])
            got = f"{source}, which has {other!r} instead" if len(names) == len(known) else f"{len(names)} in {source}"
            expected = f"the {len(known)} columns of the file before: {', '.join(known[:12])}"
            raise UserError(self.argument, expected, got, fix=f"{self.argument}=files with the same columns")

    def _check_names(self, names: list[str], source: str, line: int) -> None:
        """Check that columns have distinct names. If several have no name, all but the first get one."""
        for place, name in enumerate(names):
            if not name and names.index(name) < place:
                names[place] = f"unnamed {place}"
        twice = next((name for name, times in Counter(names).items() if times > 1), None)
        if twice is not None:
            places = " and ".join(str(place) for place, name in enumerate(names) if name == twice)
            got = f"{twice!r} twice at {source} line {line}, the columns {places} from 0"
            fix = "renaming one, or data.table.header=false"
            raise UserError(self.argument, "a header with distinct names", got, fix=fix)

    def _locator(self) -> Callable[[int], str]:
        places = self._places
        starts = [start for start, _, _ in places]

        def locate(row: int) -> str:
            start, name, line = places[bisect_right(starts, row) - 1]
            number = line + row - start if isinstance(line, int) else int(line[row - start])
            return f"{name} line {number}" if self._columns else f"{name} row {number}"

        return locate


_UNNAMED = re.compile(r"unnamed \d+")


def _batches(rows: Iterator[T], size: int) -> Iterator[list[T]]:
    return iter(lambda: list(islice(rows, size)), [])


def _cut(block: Block, line: int) -> tuple[bytes, Block]:
    """The first lines of a block up to and including `line`, without their newline, and the rest."""
    at = -1
    for _ in range(line - block.line + 1):
        at = block.text.find(b"\n", at + 1)
        if at < 0:
            return block.text, Block(b"", line + 1)
    return block.text[:at].rpartition(b"\n\n")[2].lstrip(b"\n"), Block(block.text[at + 1 :], line + 1)


def _filled(columns: Sequence[NDArray[Any]], rows: int) -> int:
    """The number of rows without empty rows at the end, which spreadsheets often have."""

    def is_blank(cell: Any) -> bool:
        return cell is None or cell in ("", b"") or cell != cell

    while len(columns) > 1 and rows and all(is_blank(column[rows - 1]) for column in columns):
        rows -= 1
    return rows
