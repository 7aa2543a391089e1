"""The user's own code: its location, and the record of names that the user has typed.

A class that the user types on the command line is trusted. Its name and the location of its package are recorded if the
package is in the current folder. A configuration that names the class again, such as that of the trained run, is then
accepted while the package is at the same location. The record is a file of the user, outside of every run folder, so
that a run from elsewhere cannot vouch for itself.
"""

import importlib.util
import json
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from rnnkit.files import replacing
from rnnkit.folders import state_folder


def remember(typed: Mapping[str, Any]) -> None:
    """Record the typed targets, by key, whose package is in the current folder."""
    targets = [value for key, value in typed.items() if key.endswith("_target_") and isinstance(value, str)]
    found = [[target, place] for target in targets if (place := _place(target)) and Path(place).parent == Path.cwd()]
    known = _remembered()
    new = [pair for pair in found if pair not in known]
    if not new:
        return
    try:
        with replacing(_file()) as part:
            part.write_text(json.dumps([*known, *new], indent=0) + "\n")
    except OSError:  # the home folder is not writable: later commands ask for RNNKIT_ALLOW
        return


def is_remembered(target: str) -> bool:
    """Whether the user has typed a target before, and its package is still at the same location."""
    place = _place(target)
    return place is not None and [target, place] in _remembered()


def find_here(target: str) -> None:
    """Let a target be imported from the current folder, which is searched last.

    Call it for allowed targets only: a numpy.py in the folder must not be imported by accident.
    """
    here = str(Path.cwd())
    if here not in sys.path and _installed(target) is None and _here(target) is not None:
        sys.path.append(here)


def _place(target: str) -> str | None:
    """Return the file or folder of a target's package, without importing it; None if it is missing or built in."""
    spec = _installed(target) or _here(target)
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or [])
    if len(folders) == 1:
        return str(Path(folders[0]).resolve())
    if folders or not spec.has_location or spec.origin is None:
        return None
    return str(Path(spec.origin).resolve())


def _installed(target: str) -> ModuleSpec | None:
    """Return the spec of a target's package if it is on the import path."""
    try:
        return importlib.util.find_spec(target.partition(".")[0])
    except (ImportError, ValueError):
        return None


def _here(target: str) -> ModuleSpec | None:
    return PathFinder.find_spec(target.partition(".")[0], [str(Path.cwd())])


def _remembered() -> list[list[str]]:
    try:
        found = json.loads(_file().read_text())
    except (OSError, ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else []


def _file() -> Path:
    return state_folder() / "own_classes.json"
