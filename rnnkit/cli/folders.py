"""The folder of a run: where it will be, and what Hydra leaves where nothing came of it."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rnnkit.errors import UserError


def run_folder(config: Any) -> Path:
    """The folder that `run_dir` names; UserError for one that has no name. Nothing is made yet."""
    name = config.get("run_dir")
    if not isinstance(name, str) or not name.strip():
        got = "null" if name is None else repr(name)
        fix = f"run_dir=runs/{name}" if isinstance(name, int) else "run_dir=runs/mine"
        raise UserError("run_dir", "the name of a new folder", got, fix=fix)
    return Path(name)


def remove_empty(folders: Sequence[Path], *, is_all: bool) -> None:
    """Remove the folders of runs of a sweep that left nothing; if these are all, the sweep's too."""
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
                if here not in path.parents:  # only what lies below the folder where the command is typed
                    return
                path.rmdir()
