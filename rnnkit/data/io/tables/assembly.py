"""Assembly of tables from the rows of files."""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from io import StringIO
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.io.findings import Findings
from rnnkit.data.io.tables.building import ColumnBuilder, Notation
from rnnkit.data.io.tables.dialect import Dialect, detect
from rnnkit.data.io.tables.format import TableFormat
from rnnkit.data.io.tables.objects import as_cell, read_objects
from rnnkit.data.io.tables.parquet import read_parquet
from rnnkit.data.io.tables.records import Block, divide, record_blocks
from rnnkit.data.io.tables.repairs import (
    check_columns,
    distinct_names,
    filled_rows,
    is_unnamed,
    sound_rows,
    without_header,
    without_marks,
)
from rnnkit.data.io.tables.rows import named_columns, notation_of, rows_of
from rnnkit.data.io.tables.source import Source, texts_of
from rnnkit.data.io.tables.table import Table
from rnnkit.errors import UserError

_ROWS = 1 << 12
"""The number of rows that are converted at a time if they are not converted as a block."""
T = TypeVar("T")
TextColumns = Callable[[Sequence[str]], Collection[int]]
"""A function from the names of all columns to the numbers of those that are kept as they are written."""


class TableBuilder:
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
            check_columns(list(columns), list(self._whole), source.name, self.argument)
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
            self._dialect = detect(first, self.form, source.name, self.argument, named=named)
            self._notation = notation_of(self._dialect, self.form)
            self._has_header = self._dialect.header
        dialect = self._dialect
        records = record_blocks(blocks, dialect.quote)
        begin = next(records)
        line, row = next(self._rows_of(begin, source))
        head, rest = without_header(begin, line)
        names = named_columns(row, dialect, self._first)
        if self._columns:
            check_columns(names, list(self._columns), source.name, self.argument)
        else:
            names = distinct_names(names, source.name, line, self.argument)
            written = self._text_columns(names)
            for place, name in enumerate(names):
                self._columns[name] = ColumnBuilder(self._notation, is_text=place in written)
        again = b"\n" + head + b"\n" if dialect.header and head else None
        for block in chain([rest if dialect.header else begin], records):
            self._add(block, source, row if dialect.header else None, again)

    def _add(self, block: Block, source: Source, header: Sequence[str] | None, again: bytes | None) -> None:
        """Add the rows of a block."""
        assert self._dialect is not None
        block = without_marks(block, source.name, self.notes)
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
        rows_of_block = self._rows_of(block, source)
        sound = sound_rows(rows_of_block, len(builders), header, source.name, self.argument, self.notes)
        for rows in _batches(sound, _ROWS):
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
        filled = filled_rows(list(columns.values()), self._rows)
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
        for name in [name for name in columns if is_unnamed(name)]:
            if table.is_empty(name) and len(columns) > 1:
                del columns[name]
                self.notes.add("columns without a name and values, skipped", source)
        return table

    def _locator(self) -> Callable[[int], str]:
        places = self._places
        starts = [start for start, _, _ in places]

        def locate(row: int) -> str:
            start, name, line = places[bisect_right(starts, row) - 1]
            number = line + row - start if isinstance(line, int) else int(line[row - start])
            return f"{name} line {number}" if self._columns else f"{name} row {number}"

        return locate


def _batches(rows: Iterator[T], size: int) -> Iterator[list[T]]:
    return iter(lambda: list(islice(rows, size)), [])
