"""The run folder: its path, and the removal of empty folders that Hydra leaves."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnkit.errors import UserError


def run_folder(config: Any) -> Path:
    """The path that `run_dir` names. The folder is not created.

    Raises:
        UserError: `run_dir` is empty.
    """
    name = config.get("run_dir")
    if not isinstance(name, str) or not name.strip():
        got = "null" if name is None else repr(name)
        fix = f"run_dir=runs/{name}" if isinstance(name, int) else "run_dir=runs/mine"
        raise UserError("run_dir", "the name of a new folder", got, fix=fix)
    return Path(name)


def remove_empty(folders: Sequence[Path], *, is_all: bool) -> None:
    """Remove the empty run folders of a sweep, and the sweep's own folder if all its runs are empty."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
    if not folders or not is_all:
        return
    sweep, here = folders[0].parent.resolve(), Path.cwd()
    with contextlib.suppress(OSError):
        if sweep != here and [path.name for path in sweep.iterdir()] == ["multirun.yaml"]:
            (sweep / "multirun.yaml").unlink()
            sweep.rmdir()
            for path in sweep.parents:
                if here not in path.parents:  # only folders below the working directory
                    return
                path.rmdir()
