"""Decompressed bytes of a file, block by block."""

import gzip
import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from rnnkit.data.io.packed import check_unpacked
from rnnkit.errors import UserError

BLOCK = 1 << 23
"""Bytes per block, after decompression."""


def byte_blocks(path: Path, argument: str = "data.path") -> Iterator[bytes]:
    """Yield the content of a file, decompressed if its name ends in `.gz`, `.xz` or `.zip`. An empty file yields none.

    A `.zip` archive must have one file.

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
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError) as error:
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
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        got = f"{str(path)!r}: {error}"  # a NUL byte, which no path can have
        raise UserError(argument, "a file that can be read", got, fix=choices(argument, "my_corpus.txt")) from error
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


def _unpacked(path: Path, file: BinaryIO) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if path.suffix == ".xz":
        return cast(BinaryIO, lzma.LZMAFile(file))
    if path.suffix == ".zip":
        archive = zipfile.ZipFile(file)
        names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
        if len(names) != 1:
            raise zipfile.BadZipFile(f"{len(names)} files in it instead of one: {', '.join(names[:5])}")
        return cast(BinaryIO, archive.open(names[0]))
    return file
