"""Detection of the delimiter, the quotes, the marks of numbers and the header of a text table."""

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

from rnnkit.data.io.tables.format import BLANKS, TableFormat
from rnnkit.errors import UserError
from rnnkit.quoting import assignment

SAMPLE = 500
"""The number of rows that the detection uses."""
_LARGEST = 1 << 20
CANDIDATES = ("\t", ";", "|", ",")
"""Delimiters, the less common in text first: a comma may also be the decimal mark."""
NAMES = {"\t": "tab", BLANKS: "blanks"}
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?")
_GROUPED = {mark: re.compile(rf"[+-]?[1-9]\d{{0,2}}({re.escape(mark)}\d{{3}})+") for mark in ".,"}
_DECIMAL = {mark: re.compile(rf"[+-]?\d+{re.escape(mark)}\d+") for mark in ".,"}
_BOTH = {
    (",", "."): re.compile(r"[+-]?\d{1,3}(\.\d{3})+,\d+"),
    (".", ","): re.compile(r"[+-]?\d{1,3}(,\d{3})+\.\d+"),
    (".", "'"): re.compile(r"[+-]?\d{1,3}('\d{3})+(\.\d+)?"),
    (",", "\xa0"): re.compile("[+-]?\\d{1,3}(\xa0\\d{3})+,\\d+"),
    (",", "\u202f"): re.compile("[+-]?\\d{1,3}(\u202f\\d{3})+,\\d+"),
}


class Dialect(NamedTuple):
    """The form of a text table. `delimiter` is a blank for runs of blanks; `quote` and `thousands` may be ""."""

    delimiter: str
    quote: str
    decimal: str
    thousands: str
    header: bool

    def rows(self, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield the number of the last line, from 1, and the cells of each row that is not an empty line.

        Raises:
            csv.Error: quotes are not closed or are in the middle of a cell.
        """
        if self.delimiter == BLANKS and not self.quote:
            for number, line in enumerate(lines, 1):
                if row := line.split():
                    yield number, row
            return
        csv.field_size_limit(sys.maxsize)  # texts may be long
        reader = (
            csv.reader(lines, delimiter=self.delimiter, quotechar=self.quote, strict=True)
            if self.quote
            else csv.reader(lines, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)
        )
        for row in reader:
            if row:
                yield reader.line_num, row

    def described(self) -> str:
        """The parts that differ from a plain CSV file, for a notice; "" if there are none."""
        parts = []
        if self.delimiter != ",":
            parts.append(f"delimiter {NAMES.get(self.delimiter, repr(self.delimiter))}")
        if self.decimal != ".":
            parts.append("decimal comma")
        if self.thousands:
            parts.append(f"thousands mark {self.thousands!r}")
        if not self.header:
            parts.append("no header, columns numbered from 0")
        return ", ".join(parts)


def detect(text: str, form: TableFormat, name: str, argument: str, *, named: bool) -> Dialect:
    r"""Detect what the user did not state.

    Args:
        text: the beginning of the file.
        form: what the user stated.
        name: the name of the file.
        argument: the argument that error messages name.
        named: whether a column is given by name, so that there is a header.

    Raises:
        UserError: it is ambiguous whether a comma is a decimal mark.

    >>> detect("day;sold\n1;1.234,5\n2;9,5\n", TableFormat(), "a.csv", "data.path", named=False)
    Dialect(delimiter=';', quote='"', decimal=',', thousands='.', header=True)
    """
    lines = _first_lines(text)
    is_tsv = form.of_file(name) == "tsv"
    delimiter = form.delimiter or ("\t" if is_tsv else _delimiter(lines))
    quote = form.quote
    if quote is None:
        quote = '"' if delimiter not in ("\t", BLANKS) or _is_quoted(lines, delimiter) else ""
    rows = _rows(lines, delimiter, quote)
    header = form.header
    if header is None:
        header = named or not _is_data(rows, delimiter)
    decimal, thousands = _marks(rows[bool(header) :], delimiter, form, name, argument)
    return Dialect(delimiter, quote, decimal, thousands, header)


def _first_lines(text: str) -> list[str]:
    """The first lines of a text, without a last one that is cut."""
    sample = text[:_LARGEST]
    lines = sample.split("\n")
    is_cut = len(sample) < len(text) and len(lines) > 1
    return (lines[:-1] if is_cut else lines)[: 2 * SAMPLE]


def _rows(lines: Sequence[str], delimiter: str, quote: str) -> list[list[str]]:
    """The first rows, up to one that is not closed."""
    found: list[list[str]] = []
    try:
        for _, row in islice(Dialect(delimiter, quote, ".", "", True).rows(f"{line}\n" for line in lines), SAMPLE):
            found.append([cell.strip() for cell in row])
    except csv.Error:  # raised for the whole file later, with the line
        pass
    return found


def _delimiter(lines: Sequence[str]) -> str:
    """The first candidate that divides all rows into equally many cells, or the one that divides the most so."""
    shares = {}
    for candidate in CANDIDATES:
        widths = Counter(len(row) for row in _rows(lines, candidate, '"'))
        width, count = widths.most_common(1)[0] if widths else (1, 0)
        if width > 1 and count == widths.total():
            return candidate
        if width > 1 and count >= 0.8 * widths.total():
            shares[candidate] = count / widths.total()
    blank = [line.split() for line in lines if line.strip()][:SAMPLE]
    if len({*map(len, blank)}) == 1 and len(blank[0]) > 1:
        cells = [cell for row in blank[1:] or blank for cell in row]
        if 2 * sum(_is_number(cell) or bool(_DATE.fullmatch(cell)) for cell in cells) >= len(cells):
            return BLANKS
    if shares:
        return max(shares, key=lambda candidate: shares[candidate])
    first = next((line for line in lines if line.strip()), "")
    most = max(CANDIDATES, key=first.count)
    return most if first.count(most) else ","


def _is_quoted(lines: Sequence[str], delimiter: str) -> bool:
    """Whether all cells of a column are in quotes, in a table whose quotes are otherwise not special."""
    rows = _rows(lines, delimiter, "")
    return bool(rows) and any(
        all(len(row[place : place + 1] and row[place]) > 1 and row[place][0] == row[place][-1] == '"' for row in rows)
        for place in range(len(rows[0]))
    )


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


def _is_data(rows: Sequence[Sequence[str]], delimiter: str) -> bool:
    """Whether the first row has values and no names: numbers or dates where the column has them, and no other words.

    Whole numbers in ascending order without a gap may be names: channels 0, 1, 2 or the years of a table.
    """
    if not rows:
        return False
    first, others = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    if not others or "" in first:
        return False
    like = [_is_number, lambda cell: bool(_DATE.fullmatch(cell))]
    found = 0
    for place, cell in enumerate(first):
        column = [row[place] for row in others if row[place]]
        kinds = [kind for kind in like if column and all(map(kind, column))]
        if kinds and not any(kind(cell) for kind in kinds):
            return False
        found += bool(kinds)
    whole = [int(cell) for cell in first if re.fullmatch(r"\d{1,9}", cell)]
    is_count = len(whole) > 1 and all(after - before == 1 for before, after in pairwise(whole))
    dates = sum(bool(_DATE.fullmatch(cell)) for cell in first)
    return bool(found) and (dates > 0 or not is_count)


def _marks(
    rows: Sequence[Sequence[str]], delimiter: str, form: TableFormat, name: str, argument: str
) -> tuple[str, str]:
    """The decimal mark, and the mark of thousands or ""."""
    if form.decimal is not None and form.thousands is not None:
        return form.decimal, form.thousands
    cells = [cell for row in rows for cell in row if cell[-1:].isdigit() and not cell.isdigit()]
    for (decimal, thousands), pattern in _BOTH.items():
        agrees = form.decimal in (None, decimal) and form.thousands in (None, thousands)
        if agrees and any(map(pattern.fullmatch, cells)):
            return decimal, thousands
    if form.decimal is not None:
        return form.decimal, form.thousands or ""
    commas = [cell for cell in cells if _DECIMAL[","].fullmatch(cell)]
    if form.thousands == "," or not commas:
        several = [cell for cell in cells if _GROUPED[","].fullmatch(cell) and cell.count(",") > 1]
        return ".", form.thousands if form.thousands is not None else "," * bool(several)
    if all(map(_GROUPED[","].fullmatch, commas)):
        if any(map(_DECIMAL["."].fullmatch, cells)):  # 1,234 beside 0.5
            return ".", "," if form.thousands is None else form.thousands
        fix = " or ".join(assignment(f"data.table.{key}", ",") for key in ("decimal", "thousands"))
        got = f"{name}, where {commas[0]} may be either"
        raise UserError(argument, "a decimal mark, or a mark of thousands", got, fix=fix)
    dots = [cell for cell in cells if _GROUPED["."].fullmatch(cell) and cell.count(".") > 1]
    return ",", form.thousands if form.thousands is not None else "." * bool(dots)
