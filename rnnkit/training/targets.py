"""Which classes a configuration may name: asked before anything is built."""

import importlib.util
import inspect
import os
import pkgutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from rnnkit.errors import UserError

KNOWN = (
    *("rnnkit.cells", "rnnkit.layers", "rnnkit.models", "rnnkit.tasks", "rnnkit.data", "rnnkit.training"),
    *("torch.nn", "torch.optim", "lightning.pytorch"),
)
"""Where classes and functions may be defined that any configuration names. Not all of `rnnkit` and `torch`: both can
also compile and load programs."""
VARIABLE = "RNNKIT_ALLOW"
_ROOTS = {place.split(".")[0] for place in KNOWN}


def check_targets(config: DictConfig, typed: Collection[str] = ()) -> None:
    """Refuse a configuration whose `_target_`s this machine's user has not agreed to: it would run their code.

    Allowed is what is defined in `KNOWN`, in the folder where the command is typed, in a package named in the
    environment variable RNNKIT_ALLOW (several with commas between them), and in `typed`, the targets that stand on the
    command line itself.

    Raises UserError naming the key, the target, and how to allow it.
    """
    allowed = [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
    for key, target in _targets(config):
        root = target.split(".")[0]
        if target in typed or root in allowed or (_is_known(target) if root in _ROOTS else _is_here(root)):
            continue
        raise UserError(
            f"{key}._target_",
            "a class of rnnkit, torch.nn, torch.optim or lightning, or of the folder you stand in",
            f"{target}, whose code would run",
            fix=f"{VARIABLE}={root} before the command, if you trust it",
        )


def _targets(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, ListConfig):
        for index, part in enumerate(node):
            yield from _targets(part, f"{key}[{index}]")
    if isinstance(node, DictConfig):
        for name in node:  # a number may be a key, as in a table of labels
            if name == "_target_":
                yield key, str(node[name])
            elif not OmegaConf.is_interpolation(node, name) and not OmegaConf.is_missing(node, name):  # type: ignore[arg-type]
                yield from _targets(node[name], f"{key}.{name!s}".lstrip("."))


def _is_here(root: str) -> bool:
    """Whether a package lies in the folder where the command is typed, as code of one's own does."""
    try:
        found = importlib.util.find_spec(root)
    except (ImportError, ValueError):
        return False
    if found is None or not found.has_location or found.origin is None:
        return False
    return Path(found.origin).resolve().is_relative_to(Path.cwd().resolve()) and "site-packages" not in found.origin


def _is_known(target: str) -> bool:
    """Whether a target is *defined* in one of the known places: `rnnkit.cli.os.system` is not."""
    try:
        found = pkgutil.resolve_name(target)
    except Exception:  # whoever constructs it says what is wrong with it
        return True
    home = str(getattr(found, "__module__", ""))
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        return False
    return any(home == place or home.startswith(f"{place}.") for place in KNOWN)
