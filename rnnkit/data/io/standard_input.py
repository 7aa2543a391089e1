"""Text from standard input, under the rules for text files."""

import sys
from collections.abc import Iterator

from rnnkit.data.io.encodings import guessed_encoding
from rnnkit.errors import UserError
from rnnkit.notices import notice


def stdin_lines(*, raw: bool = False, encoding: str | None = None, key: str | None = None) -> Iterator[str]:
    """Yield the lines of standard input with their newlines, as they arrive.

    Text must be UTF-8 in any locale. A byte order mark is dropped and CRLF becomes LF. With `raw`, nothing is changed
    and bytes that are not UTF-8 become lone surrogates ("surrogateescape"). `encoding` is another encoding than UTF-8,
    and `key` the argument that sets it, if there is one; then text that is certainly Windows-1252 is accepted (see
    `rnnkit.data.io.encodings.guessed_encoding`).

    Raises:
        UserError: there is a NUL byte or a byte that is not UTF-8. The message has the line.
    """
    source = getattr(sys.stdin, "buffer", None)
    if source is None:  # replaced by a text stream
        yield from sys.stdin
        return
    is_ascii = True
    for number, line in enumerate(source, 1):
        if raw:
            yield line.decode("utf-8", "surrogateescape")
            continue
        if b"\0" in line:
            got = f"standard input, which has a NUL byte in line {number}: binary data, or UTF-16"
            raise UserError("--input", "text", got, fix="iconv -f UTF-16 -t UTF-8 before it")
        try:
            text = line.decode(encoding or ("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            guess = guessed_encoding(line) if key and encoding is None and is_ascii else None
            if guess is not None:
                notice(f"standard input is not UTF-8 and is read as Windows-1252 from line {number} on ({key})")
                encoding, text = guess, line.decode(guess)
                yield text.removesuffix("\r\n") + "\n" if text.endswith("\r\n") else text
                continue
            got = f"standard input, whose byte {error.object[error.start]:#04x} in line {number} is not UTF-8"
            fix = f"{key} when training, or " * bool(key) + "iconv -f LATIN1 -t UTF-8 before it"
            raise UserError("--input", "UTF-8 text", got, fix=fix) from error
        is_ascii = is_ascii and text.isascii()
        yield text.removesuffix("\r\n") + "\n" if text.endswith("\r\n") else text
