"""Word vectors from a text file."""

from collections.abc import Iterator, Set
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rnnkit.data.io.blocks import BLOCK, byte_blocks
from rnnkit.errors import UserError
from rnnkit.notices import counted, notice


def read_vectors(path: str | Path, wanted: Set[str]) -> tuple[list[str], Tensor]:
    """Read the vectors of some words.

    A line has a word and its D numbers, separated by spaces, as in GloVe's `.txt` and fastText's `.vec`. The file may
    be compressed (`.gz`, `.xz`). A first line of two numbers, as word2vec and fastText write it, is skipped. If a word
    is repeated, its first vector is used.

    Args:
        path: the file.
        wanted: the words whose vectors are kept.

    Returns:
        The words that were found, in the order of the file, and their vectors [N, D].

    Raises:
        UserError: the file cannot be read, a line does not have D numbers, or no word is found.
    """
    source = Path(path).expanduser()
    words: list[str] = []
    again = 0
    rows: list[np.ndarray] = []
    seen: set[str] = set()
    size: int | None = None
    for number, line in enumerate(_lines(source), 1):
        if number == 1 and len(line.split()) == 2:
            continue
        line = line.rstrip()
        word, _, rest = line.partition(" ")
        if size is None:
            size = rest.count(" ") + 1
        found = rest.count(" ") + 1
        if found > size:  # a word may contain spaces; the numbers come last
            parts = line.rsplit(" ", size)
            word, rest, found = parts[0], " ".join(parts[1:]), size
        if found != size:
            raise _wrong(source, number, size, line)
        again += word in seen
        if word in wanted and word not in seen:
            try:
                row = np.array(rest.split(" "), dtype=np.float32)
            except ValueError as error:
                raise _wrong(source, number, size, line) from error
            if not np.isfinite(row).all():
                raise _wrong(source, number, size, line)
            seen.add(word)
            words.append(word)
            rows.append(row)
    if again:
        notice(f"vectors: {counted(again, 'word')} repeated in {source}, skipped")
    if not words:
        raise UserError(
            "data.vectors",
            "a file with vectors for some of the words",
            f"'{path}', which has none",
            fix="data.vectors=null, or vectors of the same language and casing",
        )
    return words, torch.from_numpy(np.stack(rows))


def _wrong(source: Path, number: int, size: int, line: str) -> UserError:
    return UserError(
        "data.vectors",
        f"a word and {size} numbers per line, separated by single spaces",
        f"{source}, line {number}: {line[:60]!r}",
        fix="data.vectors=null, or a file in the format of GloVe or fastText",
    )


def _lines(source: Path) -> Iterator[str]:
    rest = b""
    for block in byte_blocks(source, "data.vectors"):
        *lines, rest = (rest + block).split(b"\n")
        yield from (_decoded(line, source) for line in lines)
        if len(rest) > BLOCK:
            got, fix = f"{source}, with a line of more than {BLOCK:,} bytes", "data.vectors=null, or another file"
            raise UserError("data.vectors", "a word and its numbers per line", got, fix=fix)
    if rest:
        yield _decoded(rest, source)


def _decoded(line: bytes, source: Path) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        expected = "a file of word vectors in UTF-8 that can be read"
        raise UserError("data.vectors", expected, f"'{source}' ({error})", fix="data.vectors=null") from error
