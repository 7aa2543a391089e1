"""Download of one file with a checksum."""

import hashlib
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from rnnkit.errors import UserError
from rnnkit.files import replacing

TIMEOUT = 30
"""Seconds without a response or a byte."""
BLOCK = 1 << 16
"""Bytes read at a time."""


def download(url: str, path: Path, *, sha256: str, size: int, instead: str) -> None:
    """Download `url` to `path`. The file appears only after its size and its checksum are verified.

    Args:
        url: an https address.
        path: the file to write.
        sha256: the SHA-256 checksum of the content.
        size: the size of the content in bytes.
        instead: another way to get the file, for error messages.

    Raises:
        UserError: the server cannot be reached, does not use https, or sends other content.
    """
    try:
        with replacing(path) as part:
            got_size, got_sha256 = _fetch(url, part, size)
            if (got_size, got_sha256) != (size, sha256):
                raise UserError(
                    f"download of {url}",
                    f"{size:,} bytes with SHA-256 {sha256}",
                    f"{got_size:,} bytes with {got_sha256}",
                    fix=f"again later, or {instead}",
                )
    except (OSError, HTTPException) as error:  # urllib's errors and time-outs are OSErrors
        raise UserError(
            f"download of {url}", f"to write it to {path}", str(error) or repr(error), fix=instead
        ) from error


def _fetch(url: str, part: Path, size: int) -> tuple[int, str]:
    received, digest = 0, hashlib.sha256()
    _only_https(url)
    with urlopen(url, timeout=TIMEOUT) as answer, part.open("wb") as file:
        _only_https(answer.geturl())  # after redirections
        # stop reading as soon as the content is longer than expected
        while received <= size and (block := answer.read(BLOCK)):
            received += len(block)
            digest.update(block)
            file.write(block)
    return received, digest.hexdigest()


def _only_https(url: str) -> None:
    if not url.startswith("https://"):
        raise OSError(f"{url} is not https")
