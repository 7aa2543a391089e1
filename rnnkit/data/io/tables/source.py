"""The text of a table: a file, or standard input."""

import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from rnnkit.data.io.blocks import BLOCK
from rnnkit.data.io.decoding import decoded, text_blocks
from rnnkit.data.io.findings import Findings
from rnnkit.data.io.sources import Found, Paths, files
from rnnkit.data.io.tables.format import FORMATS, TableFormat, suffix_of
from rnnkit.errors import UserError

ENCODING = "data.table.encoding"
STDIN = "standard input"


class Source(NamedTuple):
    """A file with a table. `path` is None for standard input."""

    name: str
    path: Path | None


def table_files(paths: Paths | None, argument: str, notes: Findings) -> list[Source]:
    """The files of a path, folder, glob or list; files of other kinds in a folder are skipped and counted.

    Raises:
        UserError: there is no table.
    """
    if paths is None:
        return [Source(STDIN, None)]
    found = files(paths, argument, "my.csv")
    taken = [file for file in found if file.named or suffix_of(file.name) in FORMATS or _is_text(file)]
    for file in found:
        if file not in taken:
            notes.add("files of other kinds, skipped", str(file.path))
    if not taken:
        raise UserError(argument, "a table", f"none in {paths}", fix=f"{argument}=my.csv")
    return [Source(str(file.path) if len(found) == 1 else file.name, file.path) for file in taken]


def _is_text(file: Found) -> bool:
    return suffix_of(file.name) in (".txt", ".dat")


def texts_of(source: Source, argument: str, form: TableFormat, notes: Findings) -> tuple[str, Iterator[str]]:
    """The beginning of the text of a table, and all of it in blocks."""
    blocks = _blocks(source, argument, form, notes)
    first = next(blocks, "")
    return first, chain([first], blocks)


def _blocks(source: Source, argument: str, form: TableFormat, notes: Findings) -> Iterator[str]:
    if source.path is not None:
        return text_blocks(source.path, argument=argument, notes=notes, encoding=form.encoding, key=ENCODING)
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:  # replaced by a text stream
        return iter(lambda: sys.stdin.read(BLOCK), "")
    return decoded(iter(lambda: stream.read(BLOCK), b""), STDIN, argument, notes, form.encoding, ENCODING)
