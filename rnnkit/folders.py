"""The folders in which rnnkit keeps files of a user's, by the customs of the system."""

import os
from pathlib import Path

from platformdirs import PlatformDirs

_system = PlatformDirs("rnnkit", appauthor=False)


def cache_folder() -> Path:
    """`$RNNKIT_CACHE`, else the system's place for caches: on Linux `rnnkit` under `$XDG_CACHE_HOME` or `~/.cache`.

    Raises `OSError` for a user without a home.
    """
    named = os.environ.get("RNNKIT_CACHE")
    try:
        return Path(named) if named else _system.user_cache_path
    except RuntimeError as error:
        raise OSError(str(error)) from error


def state_folder() -> Path:
    """The system's place for what programs remember: on Linux `rnnkit` under `$XDG_STATE_HOME` or `~/.local/state`.

    Raises `OSError` for a user without a home.
    """
    try:
        return _system.user_state_path
    except RuntimeError as error:
        raise OSError(str(error)) from error
