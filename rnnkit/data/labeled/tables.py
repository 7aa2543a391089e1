"""Rows of CSV, TSV and JSON lines."""

import csv
import difflib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import PurePath
from typing import Any

from rnnkit.data.io.findings import Findings
from rnnkit.data.io.unique_keys import unique
from rnnkit.errors import UserError

FORMATS = {".csv": "csv", ".tsv": "tsv", ".txt": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
Column = str | int
"""A column by name, or by number from 0."""


def format_of(name: str, argument: str) -> str:
    """The format of a file by its extension, with or without compression.

    Raises:
        UserError: the extension is unknown.

    >>> format_of("reviews.tsv.gz", "data.path")
    'tsv'
    """
    suffix = suffix_of(name)
    if suffix in FORMATS:
        return FORMATS[suffix]
    known = ", ".join(FORMATS)
    raise UserError(argument, f"a table whose name ends in {known}", repr(name), fix=f"{argument}=my_table.csv")


def suffix_of(name: str) -> str:
    """The last extension of a file name, without that of a compression."""
    return next((suffix.lower() for suffix in reversed(PurePath(name).suffixes) if suffix not in (".gz", ".xz")), "")


def cells(
    lines: Iterable[str], name: str, format_: str, argument: str, notes: Findings | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the last line and the cells of each row of CSV or TSV.

    CSV is quoted by RFC 4180. TSV has no quotes. Empty lines are skipped and counted in `notes`.

    Raises:
        UserError: a row has more or fewer cells than the first.
    """
    csv.field_size_limit(sys.maxsize)  # texts may be long
    if format_ == "tsv":
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(lines, strict=True)
    width = 0
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "new-line character" in str(error):
                got = f"carriage returns in the middle of {name} line {reader.line_num}"
                fix = f"tr '\\r' '\\n' < {name} > new.csv"
                raise UserError(argument, "lines that end in a newline", got, fix=fix) from error
            fix = "closed quotes, or the file as .tsv, which has no quotes"
            raise UserError(
                argument, f"rows of {format_}", f"{name} line {reader.line_num}: {error}", fix=fix
            ) from error
        if not row:
            if notes is not None:
                notes.add("empty lines, skipped", f"{name} line {reader.line_num}")
            continue
        width = width or len(row)
        if len(row) != width:
            got = f"{len(row)} at {name} line {reader.line_num}"
            raise UserError(
                argument, f"{width} columns in every row", got, fix="the missing cells, or quotes around commas"
            )
        yield reader.line_num, row


def read_rows(
    lines: Iterable[str],
    name: str,
    format_: str,
    columns: Mapping[str, Column | None],
    *,
    header: bool,
    argument: str,
    optional: Sequence[str] = (),
    notes: Findings | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number of the line and the cells of some columns of each row.

    Args:
        lines: the lines of the file, as they arrive.
        name: the name of the file, for error messages.
        format_: csv, tsv or jsonl.
        columns: the column of each name in the result; None for a column that is not read.
        header: whether the first row of CSV or TSV has the names of columns.
        argument: the argument that error messages name.
        optional: names of the result whose columns may be missing.
        notes: counts skipped lines.

    Raises:
        UserError: a column is missing. The message has the file and the line.

    >>> lines = ["text,label", "good,1"]
    >>> list(read_rows(lines, "a.csv", "csv", {"target": "label"}, header=True, argument="data.path"))
    [(2, {'target': '1'})]
    """
    wanted = {role: column for role, column in columns.items() if column is not None}
    if format_ == "jsonl":
        yield from _read_objects(lines, name, wanted, argument, optional)
        return
    rows = cells(lines, name, format_, argument, notes)
    if header:
        number, names = next(rows, (0, []))
        places = positions(names, wanted, f"{name} line {number}", optional)
    for number, row in rows:
        if not header:
            places = _numbered(wanted, len(row), f"{name} line {number}", optional)
        yield number, {role: row[place] for role, place in places.items()}


def positions(
    names: Sequence[str], wanted: Mapping[str, Column], where: str, optional: Sequence[str] = ()
) -> dict[str, int]:
    """The positions of columns in a header.

    Raises:
        UserError: a column that is not optional is missing.
    """
    names = [name.strip() for name in names]
    found = {}
    for role, column in wanted.items():
        if isinstance(column, int) and column < len(names):
            found[role] = column
        elif column in names:
            found[role] = names.index(str(column))
            if names.count(str(column)) > 1:
                places = [place for place, one in enumerate(names) if one == column]
                got = f"{len(places)} at {where}, the columns {' and '.join(map(str, places))} from 0"
                argument = f"data.{role}_column"
                raise UserError(argument, f"one column {column!r}", got, fix=f"{argument}={places[0]}")
        elif role not in optional:
            near = _nearest(column, names)
            argument = f"data.{role}_column"
            got = f"{', '.join(names)} at {where}" if any(names) else f"{len(names)} columns without names at {where}"
            fix = f"{argument}={near}, or data.header=false" if any(names) else f"{argument}=0"
            raise UserError(argument, f"a column {column!r}", got, fix=fix)
    return found


def _nearest(column: Column, names: Iterable[str]) -> str:
    """The most similar of the first names (all names may be too many and too long), or the last of them."""
    short = [name for name in islice(names, 1000) if len(name) <= 100]
    return (difflib.get_close_matches(str(column), short, n=1, cutoff=0.4) or short[-1:] or ["..."])[0]


def _numbered(wanted: Mapping[str, Column], width: int, where: str, optional: Sequence[str]) -> dict[str, int]:
    for role, column in wanted.items():
        argument = f"data.{role}_column"
        if not isinstance(column, int):
            raise UserError(argument, "a number, because there is no header", repr(column), fix="data.header=true")
        if column >= width and role not in optional:
            got = f"{width} columns at {where}"
            raise UserError(argument, f"a column {column}, where the first is 0", got, fix=f"{argument}=0")
    return {role: int(column) for role, column in wanted.items() if int(column) < width}


def _read_objects(
    lines: Iterable[str], name: str, wanted: Mapping[str, Column], argument: str, optional: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=unique)
        except (ValueError, RecursionError) as error:
            fix = "a JSON object on every line"
            raise UserError(argument, "JSON lines", f"{name} line {number}: {error}", fix=fix) from error
        if not isinstance(row, dict):
            fix = "a JSON object on every line"
            raise UserError(argument, "an object", f"{type(row).__name__} at {name} line {number}", fix=fix)
        found = {role: row[str(column)] for role, column in wanted.items() if str(column) in row}
        for role, column in wanted.items():
            if role not in found and role not in optional:
                got = f"{', '.join(row) or 'nothing'} at {name} line {number}"
                fix = f"data.{role}_column={_nearest(column, row)}"
                raise UserError(f"data.{role}_column", f"a key {column!r}", got, fix=fix)
        yield number, found
