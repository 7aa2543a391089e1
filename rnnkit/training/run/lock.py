"""One process at a time writes into a run folder."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from rnnkit.errors import UserError


@contextlib.contextmanager
def run_lock(folder: Path, *, new: bool) -> Iterator[None]:
    """Hold a run folder; it is free again when the block ends, however the process ends.

    Raises UserError where another process holds it, and where a `new` run would write over one.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, run_lock(Path(folder), new=True):
    ...     with run_lock(Path(folder), new=True):
    ...         pass
    Traceback (most recent call last):
    rnnkit.errors.UserError: run_dir: expected a folder that no other run is using; got ...
    """
    if int(os.environ.get("LOCAL_RANK", "0")):  # the other processes of a distributed run come with the first
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


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds a lock that the system lets go of when the process dies, and that no process forked in the block inherits.

    The file says which process holds it, and goes when the block ends.
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
