"""One process at a time writes into a run folder."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from rnnkit.errors import UserError

try:
    import fcntl
except ImportError:  # no Unix: two runs in one folder go unnoticed there
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def claimed(folder: Path, *, new: bool) -> Iterator[None]:
    """Hold a run folder; it is free again when the block ends, however the process ends.

    Raises UserError where another process holds it, and where a `new` run would write over one.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, claimed(Path(folder), new=True):
    ...     with claimed(Path(folder), new=True):
    ...         pass
    Traceback (most recent call last):
    rnnkit.errors.UserError: run_dir: expected a folder that no other run is using; got ...
    """
    if int(os.environ.get("LOCAL_RANK", "0")):  # the other processes of a distributed run come with the first
        yield
        return
    path = folder / ".lock"
    with _made(folder), _opened(path) as file, _not_in_children(file):
        if not _lock(file.fileno(), path):
            file.seek(0)
            raise UserError(
                "run_dir",
                "a folder that no other run is using",
                f"'{folder}', which process {file.read().strip() or 'another'} is writing to",
                fix=f"to wait for it, or run_dir={folder}-2",
            )
        try:
            if new and (folder / "config.yaml").exists():
                raise UserError(
                    "run_dir",
                    "a folder without a run in it",
                    f"'{folder}', which holds one",
                    fix=f"run_dir={folder}-2, or rnnkit resume {folder}",
                )
            file.truncate(0)
            print(os.getpid(), file=file, flush=True)
            yield
        finally:
            path.unlink(missing_ok=True)


def no_folder(folder: Path | str, error: OSError) -> UserError:
    """For a run folder that cannot be made, or not be written to."""
    name = str(folder)
    shown = name if len(name) < 100 else f"{name[:80]}... ({len(name)} characters)"
    why = "a link to nothing" if os.path.islink(name) and not os.path.exists(name) else error.strerror
    return UserError(
        "run_dir", "a folder that can be made and written to", f"'{shown}' ({why})", fix="run_dir=runs/mine"
    )


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Makes a folder with those above it; those of them that are empty after an exception are removed again."""
    above: list[Path] = []
    try:
        try:
            above += [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise no_folder(folder, error) from error
        yield
    except BaseException:
        for path in above:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


def _opened(path: Path) -> TextIO:
    try:
        return path.open("a+")
    except OSError as error:
        raise no_folder(path.parent, error) from error


_open: list[TextIO] = []


@contextlib.contextmanager
def _not_in_children(file: TextIO) -> Iterator[None]:
    """Lets processes forked in the block close the file: one that outlives this one must not hold the folder."""
    _open.append(file)
    try:
        yield
    finally:
        _open.remove(file)


def _close_in_child() -> None:
    for file in _open:
        file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def _lock(handle: int, path: Path) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it when the process dies
    except OSError:
        return False
    # the holder before us may just have removed the file that we had opened
    return path.exists() and os.fstat(handle).st_ino == path.stat().st_ino
