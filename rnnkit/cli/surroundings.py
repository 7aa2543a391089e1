"""The folder in which a command is typed may be anybody's: nothing that lies in it by chance is run.

It is not searched for modules (`rnnkit.training.configuration.own_code` adds it, last, for a class that the user has
named). What is left is a settings file of matplotlib's, which lightning imports: releases before 3.11
evaluate a line of it.
"""

import contextlib
import importlib.util
import sys
from pathlib import Path


def without_settings_of_the_folder() -> None:
    """Import matplotlib, where it would read a `matplotlibrc` of the current folder, without doing so; say so."""
    if not Path("matplotlibrc").exists():
        return
    with contextlib.suppress(ImportError):
        spec = importlib.util.find_spec("matplotlib")
        if spec is not None and spec.origin is not None:
            with contextlib.chdir(Path(spec.origin).parent):
                import matplotlib  # noqa: F401  it reads its settings once, from here
            print("rnnkit: the matplotlibrc of this folder is not read", file=sys.stderr)
