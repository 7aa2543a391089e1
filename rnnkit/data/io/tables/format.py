"""The format of tables, as the user states it."""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from rnnkit.data.io.packed import PACKED
from rnnkit.errors import UserError

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
"""Formats by the extension of a file. Other files are read as csv, with a detected delimiter."""
WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")
"""Extensions of spreadsheets, which cannot be read."""
MISSING = frozenset(("", "?", "na", "n/a", "#n/a", "nan", "null", "none"))
"""Notations of a missing value, in lower case."""
BLANKS = " "
"""The delimiter that stands for runs of blanks."""


@dataclass(frozen=True)
class TableFormat:
    """The format of tables. What is None is detected from the extension and the first rows of a file.

    Args:
        format: csv (text with any delimiter), tsv (tabs, no quotes), jsonl or parquet.
        delimiter: the character between cells; a blank stands for runs of blanks. None detects a comma, a semicolon, a
            tab, a vertical bar or blanks.
        quote: the character around cells; "" for none. None is ", and none in tsv.
        decimal: the decimal mark, "." or ",".
        thousands: the mark between groups of three digits; "" for none.
        header: whether the first row has the names of columns. None detects a first row of numbers or dates if no
            column is given by name; otherwise, it is the header. Without a header, columns are numbered from 0.
        encoding: the encoding of text. None is UTF-8, or UTF-16 with a byte order mark. Other bytes are read as
            Windows-1252 if they are letters of one western European language; otherwise, they are an error.
        missing: notations of a missing value, besides an empty cell, ?, NA, N/A, NaN, null and none in any case.

    Raises:
        UserError: a value is not possible.

    >>> TableFormat(delimiter=";", decimal=",").delimiter
    ';'
    """

    format: Literal["csv", "tsv", "jsonl", "parquet"] | None = None
    delimiter: str | None = None
    quote: str | None = None
    decimal: Literal[".", ","] | None = None
    thousands: str | None = None
    header: bool | None = None
    encoding: str | None = None
    missing: Sequence[str | int | float] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "missing", tuple(self.missing))
        formats = tuple(dict.fromkeys(FORMATS.values()))
        if self.format not in (None, *formats):
            _refuse("format", f"one of {', '.join(formats)}, or null", self.format, "null")
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in "\r\n\"'"):
            _refuse("delimiter", "one character, or null to detect it", self.delimiter, "';'")
        if self.quote is not None and len(self.quote) > 1:
            _refuse("quote", "one character, or '' for none", self.quote, "null")
        if self.decimal not in (None, ".", ","):
            _refuse("decimal", "'.' or ','", self.decimal, "','")
        if self.thousands is not None and (len(self.thousands) > 1 or self.thousands.isdigit()):
            _refuse("thousands", "one character, or '' for none", self.thousands, "'.'")
        if self.thousands and self.thousands == (self.decimal or "."):
            _refuse("thousands", "another mark than data.table.decimal", self.thousands, "''")
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except (LookupError, ValueError):
                _refuse("encoding", "an encoding, such as utf-8, latin-1 or cp1252", self.encoding, "latin-1")

    def of_file(self, name: str, argument: str = "data.path") -> str:
        """The format of a file.

        Raises:
            UserError: it is a spreadsheet. The message names `argument`.

        >>> TableFormat().of_file("sales.csv.gz"), TableFormat().of_file("sales.dat"), TableFormat("tsv").of_file("a")
        ('csv', 'csv', 'tsv')
        """
        if self.format is None and suffix_of(name) in WORKBOOKS:
            fix = f"{argument}=my_table.csv, after the sheet is saved as CSV"
            raise UserError(argument, "a text table, JSON lines or Parquet", f"{name!r}, a spreadsheet", fix=fix)
        return self.format or FORMATS.get(suffix_of(name), "csv")

    @property
    def missing_words(self) -> frozenset[str]:
        """All notations of a missing value, in lower case."""
        return MISSING | {str(one).strip().lower() for one in self.missing}

    @property
    def missing_numbers(self) -> tuple[float, ...]:
        """The numbers that stand for a missing value."""
        return tuple(float(one) for one in self.missing if _is_number(one))


def suffix_of(name: str) -> str:
    """The last extension of a file name in lower case, without that of a compression."""
    return next((suffix.lower() for suffix in reversed(PurePath(name).suffixes) if suffix.lower() not in PACKED), "")


def _is_number(text: object) -> bool:
    try:
        return float(str(text)) == float(str(text))
    except ValueError:
        return False


def _refuse(name: str, expected: str, got: object, fix: str) -> None:
    key = f"data.table.{name}"
    raise UserError(key, expected, repr(got), fix=f'"{key}={fix}"' if "'" in fix else f"{key}={fix}")
