"""The folders in which rnnkit stores files of the user, by the conventions of the system."""

import os
from pathlib import Path

from platformdirs import PlatformDirs

_system = PlatformDirs("rnnkit", appauthor=False)


def cache_folder() -> Path:
    """Return the cache folder: `$RNNKIT_CACHE`, else on Linux `rnnkit` in `$XDG_CACHE_HOME` or `~/.cache`.

    Raises:
        OSError: if the user has no home folder.
    """
    named = os.environ.get("RNNKIT_CACHE")
    try:
        return Path(named) if named else _system.user_cache_path
    except RuntimeError as error:
        raise OSError(str(error)) from error


def state_folder() -> Path:
    """Return the state folder: on Linux `rnnkit` in `$XDG_STATE_HOME` or `~/.local/state`.

    Raises:
        OSError: if the user has no home folder.
    """
    try:
        return _system.user_state_path
    except RuntimeError as error:
        raise OSError(str(error)) from error
