"""Text of a file, block by block."""

import codecs
import shlex
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from rnnkit.data.io.blocks import byte_blocks
from rnnkit.data.io.encodings import guessed_encoding, marked_encoding
from rnnkit.data.io.findings import Findings
from rnnkit.data.io.packed import PACKED
from rnnkit.errors import UserError


class NotTextError(UserError):
    """Error for a file with a NUL byte, which is binary or UTF-16."""


def text_blocks(
    path: Path,
    *,
    raw: bool = False,
    argument: str = "data.path",
    notes: Findings | None = None,
    encoding: str | None = None,
    key: str | None = None,
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
        encoding: another encoding.
        key: the argument that sets the encoding, if there is one. Without an encoding, a byte order mark of UTF-16 is
            then accepted, and text that is certainly Windows-1252 (see `guessed_encoding`), which is counted.

    Raises:
        NotTextError: there is a NUL byte. The message has its offset.
        UserError: there are bytes that are not in the encoding (the message has the offset), or `byte_blocks` raises.
    """
    blocks = byte_blocks(path, argument)
    decoder = _Decoder(str(path), argument, notes, encoding, key, _rewritten(path))
    if raw:
        utf8 = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        size = 0
        for block in chain(blocks, [b""]):
            size += len(block)
            if size:
                yield utf8.decode(block, not block)
        return
    yield from decoder.text(blocks)


def decoded(
    blocks: Iterator[bytes], name: str, argument: str, notes: Findings | None, encoding: str | None, key: str
) -> Iterator[str]:
    """Yield the text of blocks of bytes, as `text_blocks` does, from standard input or another source."""
    yield from _Decoder(name, argument, notes, encoding, key, "- > new.csv").text(blocks)


class _Decoder:
    """The state of the conversion of one file."""

    def __init__(
        self, name: str, argument: str, notes: Findings | None, encoding: str | None, key: str | None, copy: str
    ) -> None:
        self._name = name
        self._argument = argument
        self._notes = Findings() if notes is None else notes
        self._given = encoding
        self._key = key
        self._copy = copy  # how the file and its copy are named in a shell command
        self._encoding = "utf-8"
        self._offset, self._line = 0, 1

    def text(self, blocks: Iterator[bytes]) -> Iterator[str]:
        self._encoding = self._given or "utf-8"
        held, begun, has_crlf, is_ascii = "", False, False, True
        decoder = codecs.getincrementaldecoder(self._encoding)()
        for block in chain(blocks, [b""]):
            final = not block
            if final and not self._offset:
                return
            if not self._offset and self._key and not self._given and (mark := marked_encoding(block)):
                self._encoding = mark
                decoder = codecs.getincrementaldecoder(mark)()
            is_bytes = not self._encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32", "utf16", "utf32"))
            if is_bytes and (nul := block.find(b"\0")) >= 0:
                raise self._not_text(self._offset + nul)
            started = self._offset - len(decoder.getstate()[0])
            self._offset += len(block)
            try:
                text = decoder.decode(block, final)
            except UnicodeDecodeError as error:
                self._check_nul(blocks)
                whole = error.object
                guess = guessed_encoding(whole) if self._key and not self._given and is_ascii else None
                if guess is None:
                    raise self._not_encoded(error, started) from error
                self._encoding = guess
                self._notes.add(f"files that are not UTF-8, read as Windows-1252 ({self._key})", self._name)
                decoder = codecs.getincrementaldecoder(guess)()
                text = decoder.decode(whole, final)
            is_ascii = is_ascii and text.isascii()
            self._line += block.count(b"\n")
            if text and not begun:
                begun = True
                if text.startswith("\ufeff"):
                    text = text[1:]
                    self._notes.add("files with a byte order mark, which is dropped", self._name)
            # hold back a carriage return until the next character is known
            text = held + text
            held = "\r" if text.endswith("\r") and not final else ""
            text = text[: len(text) - len(held)]
            if not has_crlf and "\r\n" in text:
                has_crlf = True
                self._notes.add("files with the line ends of Windows (CRLF), read as LF", self._name)
            yield text.replace("\r\n", "\n") if has_crlf else text

    def _not_encoded(self, error: UnicodeDecodeError, started: int) -> UserError:
        byte = error.object[error.start]
        line = self._line + error.object.count(b"\n", 0, error.start)
        name = {"utf-8": "UTF-8"}.get(self._encoding, self._encoding)
        got = f"{self._name}, whose byte {byte:#04x} at offset {started + error.start:,} is not {name} (line {line:,})"
        if self._key is None:
            fix = f"to re-encode it: iconv -f LATIN1 -t UTF-8 {self._copy}; for a language model data.level=byte"
            return UserError(self._argument, "UTF-8 text", got, fix=fix)
        near = error.object[max(0, error.start - 20) : error.end + 20].split(b"\n")
        shown = next((part for part in near if bytes([byte]) in part), b"").decode("latin-1").strip()
        fix = f"{self._key}=cp1252 if it should be read as {shown!r}, or another encoding, such as latin-1 or cp1251"
        return UserError(self._argument, f"{name} text", got, fix=fix)

    def _check_nul(self, blocks: Iterator[bytes]) -> None:
        """Raise NotTextError if a later block has a NUL byte, because then the whole file is binary."""
        if self._key is not None:
            return
        for block in blocks:
            if (nul := block.find(b"\0")) >= 0:
                raise self._not_text(self._offset + nul)
            self._offset += len(block)

    def _not_text(self, offset: int) -> NotTextError:
        got = f"{self._name}, which has a NUL byte at offset {offset:,}: a binary file, or UTF-16"
        if self._key is not None:
            return NotTextError(self._argument, "text", got, fix=f"{self._key}=utf-16-le if it is UTF-16")
        fix = f"iconv -f UTF-16 -t UTF-8 {self._copy} if it is UTF-16; for a language model data.level=byte"
        return NotTextError(self._argument, "text", got, fix=fix)


def _rewritten(path: Path) -> str:
    """The decompressed file and a copy of it, as arguments of a shell command."""
    plain = path.with_suffix("") if path.suffix in PACKED else path
    return f"{shlex.quote(str(plain))} > new{plain.suffix}"
