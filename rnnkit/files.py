"""Atomic writing of files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the name of a file to write beside `path`; it replaces `path` when the block ends without an exception.

    Missing folders are created. After an exception in the block, `path` is unchanged and the new file is removed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "runs" / "note.txt") as part:
    ...         _ = part.write_text("whole")
    ...     (Path(folder) / "runs" / "note.txt").read_text()
    'whole'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # the process id separates two runs that write the same file
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
