"""A lock, so that only one process at a time writes to a run folder."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from rnnkit.errors import UserError
from rnnkit.ranks import is_first_of_machine


@contextlib.contextmanager
def run_lock(folder: Path, *, new: bool) -> Iterator[None]:
    """Lock a run folder; it is unlocked when the block ends, however the process ends.

    Raises:
        UserError: if another process holds the lock, or a `new` run would overwrite another.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, run_lock(Path(folder), new=True):
    ...     with run_lock(Path(folder), new=True):
    ...         pass
    Traceback (most recent call last):
    rnnkit.errors.UserError: run_dir: expected a folder that no other run is using; got ...
    """
    if not is_first_of_machine():  # the first process of a distributed run holds the lock for all
        yield
        return
    path = folder / ".lock"
    with _made(folder), _locked(path):
        if new and (folder / "config.yaml").exists():
            raise UserError(
                "run_dir",
                "a folder without a run in it",
                f"'{folder}', which holds one",
                fix=f"run_dir={folder}-2, or rnnkit resume {folder}",
            )
        yield


def no_folder(folder: Path | str, error: OSError) -> UserError:
    """Return the error for a run folder that cannot be created or written to."""
    name = str(folder)
    shown = name if len(name) < 100 else f"{name[:80]}... ({len(name)} characters)"
    why = "a link to nothing" if os.path.islink(name) and not os.path.exists(name) else error.strerror
    return UserError(
        "run_dir", "a folder that can be made and written to", f"'{shown}' ({why})", fix="run_dir=runs/mine"
    )


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Create a folder with its parents; after an exception, remove those of them that are empty."""
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


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the system releases when the process dies, and that no process forked in the block inherits.

    The file names the process that holds it, and is removed when the block ends.
    """
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(
            "run_dir",
            "a folder that no other run is using",
            f"'{path.parent}', which process {_holder(path)} is writing to",
            fix=f"to wait for it, or run_dir={path.parent}-2",
        ) from None
    except OSError as error:
        raise no_folder(path.parent, error) from error
    try:
        path.write_text(f"{os.getpid()}\n")
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def _holder(path: Path) -> str:
    try:
        return path.read_text().strip() or "another"
    except OSError:
        return "another"
