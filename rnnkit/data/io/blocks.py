"""Decompressed bytes and text of a file, block by block."""

import codecs
import gzip
import lzma
import os
import shlex
import stat
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

from rnnkit.data.io.findings import Findings
from rnnkit.data.io.packed import check_unpacked
from rnnkit.errors import UserError

BLOCK = 1 << 23
"""Bytes per block, after decompression."""


class NotTextError(UserError):
    """Error for a file with a NUL byte, which is binary or UTF-16."""


def byte_blocks(path: Path, argument: str = "data.path") -> Iterator[bytes]:
    """Yield the content of a file, decompressed if its name ends in `.gz` or `.xz`. An empty file yields no block.

    Args:
        path: the file.
        argument: the argument that error messages name.

    Raises:
        UserError: the file cannot be read or decompressed, or changes while it is read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            source = _unpacked(path, cast(BinaryIO, file))
            size = 0
            while block := source.read(BLOCK):
                size += len(block)
                if source is not file:
                    check_unpacked(size, before.st_size, str(path), argument)
                yield block
            after = os.fstat(file.fileno())
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise UserError(
            argument, f"a whole {path.suffix} file", f"{path}: {error}", fix="compressing or downloading the file again"
        ) from error
    except OSError as error:
        raise UserError(
            argument,
            "a file that can be read",
            f"{path}: {error.strerror or error}",
            fix=choices(argument, f"my_file{path.suffix}" if path.suffix else "my_corpus.txt"),
        ) from error
    changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
    if changed and stat.S_ISREG(before.st_mode):
        raise UserError(
            argument,
            "a file that does not change while it is read",
            f"{path}, which was written to: {before.st_size:,} bytes at first, {after.st_size:,} at the end",
            fix="the same command again when the file is complete",
        )


def choices(argument: str, example: str) -> str:
    """The arguments to suggest instead of a path that cannot be read. `example` is a file name of the right kind.

    >>> choices("data.path", "my_corpus.txt")
    "data.path=my_corpus.txt, a folder, or 'data.path=folder/*.txt'"
    """
    return f"{argument}={example}, a folder, or '{argument}=folder/*{Path(example).suffix}'"


def text_blocks(
    path: Path,
    *,
    raw: bool = False,
    argument: str = "data.path",
    notes: Findings | None = None,
) -> Iterator[str]:
    """Yield the text of a file in blocks. An empty file yields no block; any other file yields at least one.

    Text must be UTF-8. A byte order mark is dropped and CRLF becomes LF; both are counted in `notes`. Nothing else is
    changed. With `raw`, any bytes are accepted and nothing is changed: bytes that are not UTF-8 become lone surrogates
    ("surrogateescape").

    Args:
        path: the file.
        raw: whether to accept any bytes.
        argument: the argument that error messages name.
        notes: the counts of changes; None to discard them.

    Raises:
        NotTextError: there is a NUL byte. The message has its offset.
        UserError: there are bytes that are not UTF-8 (the message has the offset), or `byte_blocks` raises.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape" if raw else "strict")
    offset, line, begun, held = 0, 1, False, ""
    has_crlf = False
    blocks = byte_blocks(path, argument)
    for block in chain(blocks, [b""]):
        final = not block
        if final and not offset:
            return
        if not raw and (nul := block.find(b"\0")) >= 0:
            raise _not_text(path, offset + nul, argument)
        started = offset - len(decoder.getstate()[0])
        offset += len(block)
        try:
            text = decoder.decode(block, final)
        except UnicodeDecodeError as error:
            _check_nul(path, blocks, offset, argument)
            byte, line = error.object[error.start], line + error.object.count(b"\n", 0, error.start)
            raise UserError(
                argument,
                "UTF-8 text",
                f"{path}, whose byte {byte:#04x} at offset {started + error.start:,} is not UTF-8 (line {line:,})",
                fix=f"to re-encode it: iconv -f LATIN1 -t UTF-8 {_unpacked_name(path)} > new{_suffix(path)}; "
                "for a language model data.level=byte",
            ) from error
        if raw:
            yield text
            continue
        line += block.count(b"\n")
        if text and not begun:
            begun = True
            if text.startswith("\ufeff"):
                text = text[1:]
                if notes is not None:
                    notes.add("files with a byte order mark, which is dropped", str(path))
        # hold back a carriage return until the next character is known
        text = held + text
        held = "\r" if text.endswith("\r") and not final else ""
        text = text[: len(text) - len(held)]
        if not has_crlf and "\r\n" in text:
            has_crlf = True
            if notes is not None:
                notes.add("files with the line ends of Windows (CRLF), read as LF", str(path))
        yield text.replace("\r\n", "\n") if has_crlf else text


def _unpacked(path: Path, file: BinaryIO) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if path.suffix == ".xz":
        return cast(BinaryIO, lzma.LZMAFile(file))
    return file


def _unpacked_name(path: Path) -> str:
    """The name of the decompressed file, quoted for a shell."""
    return shlex.quote(str(path.with_suffix("") if path.suffix in (".gz", ".xz") else path))


def _suffix(path: Path) -> str:
    return (path.with_suffix("") if path.suffix in (".gz", ".xz") else path).suffix


def _check_nul(path: Path, blocks: Iterator[bytes], offset: int, argument: str) -> None:
    """Raise NotTextError if a later block has a NUL byte, because then the whole file is binary."""
    for block in blocks:
        if (nul := block.find(b"\0")) >= 0:
            raise _not_text(path, offset + nul, argument)
        offset += len(block)


def _not_text(path: Path, offset: int, argument: str) -> NotTextError:
    return NotTextError(
        argument,
        "text",
        f"{path}, which has a NUL byte at offset {offset:,}: a binary file, or UTF-16",
        fix=f"iconv -f UTF-16 -t UTF-8 {_unpacked_name(path)} > new{_suffix(path)} if it is UTF-16; "
        "for a language model data.level=byte",
    )
