"""What tables have besides their rows: repeated headers, byte order marks, empty rows and cells."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

from rnnkit.data.io.findings import Findings
from rnnkit.data.io.tables.records import Block
from rnnkit.errors import UserError

_MARK = b"\xef\xbb\xbf"
_UNNAMED = re.compile(r"\s*|unnamed \d+")


def without_marks(block: Block, source: str, notes: Findings) -> Block:
    """A block without byte order marks at the start of lines, as in files that were joined; they are counted."""
    if b"\n" + _MARK not in block.text and not block.text.startswith(_MARK):
        return block
    notes.add("byte order marks inside a file, which are dropped", source)
    return Block(re.sub(rb"(^|\n)(\xef\xbb\xbf)+", rb"\1", block.text), block.line)


def without_header(block: Block, line: int) -> tuple[bytes, Block]:
    """The header that ends in a line, without its newline, and the rest of the block."""
    at = -1
    for _ in range(line - block.line + 1):
        at = block.text.find(b"\n", at + 1)
        if at < 0:
            return block.text, Block(b"", line + 1)
    return block.text[:at].rpartition(b"\n\n")[2].lstrip(b"\n"), Block(block.text[at + 1 :], line + 1)


def sound_rows(
    rows: Iterator[tuple[int, list[str]]],
    width: int,
    header: Sequence[str] | None,
    source: str,
    argument: str,
    notes: Findings,
) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not a repeated header, without empty cells behind the last column.

    Raises:
        UserError: a row has not `width` cells. The message has the line.
    """
    for line, row in rows:
        if header is not None and row == header:
            notes.add("repeated headers, skipped", f"{source} line {line}")
            continue
        if len(row) > width and not any(cell.strip() for cell in row[width:]):
            notes.add("rows with empty cells behind the last column, which are dropped", f"{source} line {line}")
            row = row[:width]
        if len(row) != width:
            got = f"{len(row)} at {source} line {line}"
            fix = "completing the row, quotes around cells with the delimiter, or another data.table.delimiter"
            raise UserError(argument, f"{width} cells in every row, as in the first", got, fix=fix)
        yield line, row


def filled_rows(columns: Sequence[NDArray[Any]], rows: int) -> int:
    """The number of rows without empty rows at the end, which spreadsheets often have."""

    def is_blank(cell: Any) -> bool:
        return cell is None or cell in ("", b"") or cell != cell

    while len(columns) > 1 and rows and all(is_blank(column[rows - 1]) for column in columns):
        rows -= 1
    return rows


def is_unnamed(name: str) -> bool:
    """Whether a column has no name in the file."""
    return _UNNAMED.fullmatch(name) is not None


def distinct_names(names: Sequence[str], source: str, line: int, argument: str) -> list[str]:
    """The names of a header. If several columns have no name, all but the first get one.

    Raises:
        UserError: two columns have the same name.
    """
    empty = next((place for place, name in enumerate(names) if not name), None)
    found = [name or (f"unnamed {place}" if place != empty else "") for place, name in enumerate(names)]
    twice = next((name for name, times in Counter(found).items() if times > 1), None)
    if twice is not None:
        places = " and ".join(str(place) for place, name in enumerate(found) if name == twice)
        got = f"{twice!r} twice at {source} line {line}, the columns {places} from 0"
        fix = "renaming one, or data.table.header=false"
        raise UserError(argument, "a header with distinct names", got, fix=fix)
    return found


def check_columns(names: Sequence[str], known: Sequence[str], source: str, argument: str) -> None:
    """Raise UserError if a file has other columns than the file before."""
    if known and list(names) != list(known):
        other = next((name for name in names if name not in known), None) or ", ".join(names[:12])
        got = f"{source}, which has {other!r} instead" if len(names) == len(known) else f"{len(names)} in {source}"
        expected = f"the {len(known)} columns of the file before: {', '.join(known[:12])}"
        raise UserError(argument, expected, got, fix=f"{argument}=files with the same columns")
