"""Protection from files in the working directory, which may belong to somebody else.

The working directory is not searched for modules. (`rnnkit.training.configuration.own_code` appends it for a class
that the user names.) One risk remains: Lightning imports matplotlib, and matplotlib before 3.11 evaluates a line of
the `matplotlibrc` in the working directory.
"""

import contextlib
import importlib.util
from pathlib import Path

from rnnkit.notices import notice


def ignore_local_matplotlibrc() -> None:
    """Import matplotlib without reading a `matplotlibrc` of the working directory. Print that it is ignored."""
    if not Path("matplotlibrc").exists():
        return
    with contextlib.suppress(ImportError):
        spec = importlib.util.find_spec("matplotlib")
        if spec is not None and spec.origin is not None:
            with contextlib.chdir(Path(spec.origin).parent):
                import matplotlib  # noqa: F401  it reads its settings once, at import
            notice("rnnkit: ignoring the matplotlibrc of this folder")
