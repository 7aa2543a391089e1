"""Code of the user's own: where it lies, that it was named once, and how it is found.

A class that the user types on the command line is trusted. It is remembered, with the place of its package, where that
is the folder in which the command is typed. A configuration that names the class again, such as that of the run that
was trained, is then followed as long as the package is at that place. The memory is a file of the user's, outside of
every run folder: what comes with a run, or lies in a folder, cannot vouch for itself.
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
    """Note the targets among what was typed, by key, whose package lies in the folder where the command is typed."""
    targets = [value for key, value in typed.items() if key.endswith("_target_") and isinstance(value, str)]
    found = [[target, place] for target in targets if (place := _place(target)) and Path(place).parent == Path.cwd()]
    known = _remembered()
    new = [pair for pair in found if pair not in known]
    if not new:
        return
    try:
        with replacing(_file()) as part:
            part.write_text(json.dumps([*known, *new], indent=0) + "\n")
    except OSError:  # a home that cannot be written to: later commands ask for RNNKIT_ALLOW
        return


def is_remembered(target: str) -> bool:
    """Whether the user has typed a target before, and its package still is where it was."""
    place = _place(target)
    return place is not None and [target, place] in _remembered()


def find_here(target: str) -> None:
    """Let a target be imported from the folder where the command is typed, which is searched last.

    Called for targets that are allowed, and for nothing else: a numpy.py there must not be imported.
    """
    here = str(Path.cwd())
    if here not in sys.path and _installed(target) is None and _here(target) is not None:
        sys.path.append(here)


def _place(target: str) -> str | None:
    """The file or folder of a target's package, without importing it; None for one that is nowhere or built in."""
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
    """The package of a target where Python finds it by itself."""
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
