"""Blocks of whole rows of a text table, and the fast division of a block into cells."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.io.tables.digits import read_digits
from rnnkit.data.io.tables.format import BLANKS

PADDING = 64
"""Bytes that follow the text of a block, so that cells near its end can be gathered like all others."""
_LINE = ord("\n")
_LONGEST_ROW = 1 << 26
"""Characters after which a quote counts as never closed, which is reported for its line."""


class Block(NamedTuple):
    """Whole rows of a file as UTF-8, and the number of their first line."""

    text: bytes
    line: int


def record_blocks(texts: Iterator[str], quote: str, size: int = 1 << 22) -> Iterator[Block]:
    """Yield blocks that end at the end of a row: at a newline that is not between quotes.

    Args:
        texts: the text in parts of any size.
        quote: the character around cells, or "".
        size: the most characters that are put into a block at a time.
    """
    line, rest = 1, ""
    for part in texts:
        for start in range(0, len(part), size):
            rest += part[start : start + size]
            end = rest.rfind("\n") + 1
            whole = rest[:end]
            if not end or (quote and whole.count(quote) % 2 and end < _LONGEST_ROW):  # a row that goes on
                continue
            block = whole.encode("utf-8", "surrogateescape")
            yield Block(block, line)
            line += block.count(b"\n")
            rest = rest[end:]
    if rest.strip("\n\ufeff"):
        yield Block(rest.encode("utf-8", "surrogateescape"), line)


class Cells(NamedTuple):
    """The cells of N rows of C columns: their places in the bytes of a block."""

    buffer: NDArray[np.uint8]
    starts: NDArray[np.int64]  # [N, C]
    widths: NDArray[np.int64]  # [N, C]

    def numbers(self, column: int, decimal: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The numbers of a column, and the rows that need another conversion; see `read_digits`."""
        return read_digits(self.buffer, self.starts[:, column], self.widths[:, column], decimal)

    def text(self, column: int, row: int) -> str:
        """One cell."""
        start = int(self.starts[row, column])
        return self.buffer[start : start + int(self.widths[row, column])].tobytes().decode("utf-8", "surrogateescape")

    def words(self, column: int) -> NDArray[np.bytes_]:
        """The cells of a column as an array of bytes as wide as its longest cell."""
        starts, widths = self.starts[:, column], self.widths[:, column]
        widest = max(1, int(widths.max(initial=1)))
        places = np.arange(widest)
        bytes_NW = self.buffer[np.minimum(starts[:, None] + places, len(self.buffer) - 1)]
        bytes_NW[places >= widths[:, None]] = 0
        found: NDArray[np.bytes_] = bytes_NW.view(f"S{widest}")[:, 0]
        return found


def divide(block: bytes, delimiter: str, quote: str, width: int) -> Cells | None:
    """Divide a block into the cells of rows of `width` columns, or return None if a simple division is not certain.

    A simple division is one at every delimiter and newline. It is certain if each row has `width` cells and quotes are
    only around whole cells.
    """
    if delimiter == BLANKS or not delimiter.isascii() or block.find(b"\r") >= 0 or width < 1:
        return None
    text = block if block.endswith(b"\n") else block + b"\n"
    buffer = np.frombuffer(text + bytes(PADDING), np.uint8)
    is_end = buffer == _LINE
    ends = np.flatnonzero(is_end | (buffer == ord(delimiter)))
    if len(ends) % width:
        return None
    ends_NC = ends.reshape(-1, width)
    if not is_end[ends_NC[:, -1]].all() or np.count_nonzero(is_end) != len(ends_NC):
        return None
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1] + 1
    starts_NC = starts.reshape(-1, width)
    widths_NC = ends_NC - starts_NC
    if width == 1 and not widths_NC.all():  # empty lines
        return None
    quotes = text.count(quote.encode()) if quote else 0
    if quotes:
        mark = ord(quote) if quote.isascii() else -1
        around = (widths_NC > 1) & (buffer[starts_NC] == mark) & (buffer[np.maximum(ends_NC - 1, 0)] == mark)
        if 2 * np.count_nonzero(around) != quotes:
            return None
        starts_NC = starts_NC + around
        widths_NC = widths_NC - 2 * around
    return _stripped(Cells(buffer, starts_NC, widths_NC))


def _stripped(cells: Cells) -> Cells:
    """The cells without blanks around them."""
    buffer, starts, widths = cells
    blank = np.zeros(256, bool)
    blank[[ord(" "), ord("\t")]] = True
    for _ in range(PADDING):
        outside = (widths > 0) & blank[buffer[starts]]
        if not outside.any():
            break
        starts, widths = starts + outside, widths - outside
    for _ in range(PADDING):
        outside = (widths > 0) & blank[buffer[np.maximum(starts + widths - 1, 0)]]
        if not outside.any():
            break
        widths = widths - outside
    return Cells(buffer, starts, widths)
