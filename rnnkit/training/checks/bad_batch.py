"""A batch as what a file may hold that runs no code when it is read, whatever types its inputs have."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

import rnnkit.batch
from rnnkit.batch import SequenceBatch, parts, with_parts
from rnnkit.errors import UserError

_BUILT_IN = {"tuple": tuple, "list": list, "dict": dict}


def plain(value: Any) -> Any:
    """Tensors and numbers as they are, what holds them by the name of its type; TypeError for anything else.

    >>> plain([1, {"gaps": 2.5}])
    {'type': 'list', 'parts': [1, {'type': 'dict', 'parts': [2.5], 'keys': ['gaps']}]}
    """
    kind = type(value)
    if value is None or isinstance(value, Tensor) or kind in (bool, int, float, str):
        return value
    if isinstance(value, np.generic):
        return plain(value.item())
    found = parts(value) if _holds_parts(kind) else None
    if found is None:
        raise TypeError(f"it holds a {kind.__module__}.{kind.__qualname__}, which is neither a tensor nor a number")
    name = kind.__name__ if kind in _BUILT_IN.values() else f"{kind.__module__}:{kind.__qualname__}"
    keys = {"keys": [plain(key) for key in value]} if kind is dict else {}
    return {"type": name, "parts": [plain(part) for part in found], **keys}


def read_batch(kept: Any, path: Path) -> SequenceBatch:
    """The batch that `plain` was given.

    A type is taken from what is imported already: whoever made the file can name no code that would run. Import the
    model, the task and the data first.

    Raises UserError where a type is not there or holds no parts, and for what `plain` did not make.
    """
    try:
        batch = _structure(kept)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        batch = f"{type(error).__name__}: {error}"
    if not isinstance(batch, SequenceBatch):
        raise UserError("run", "a whole bad_batch.pt", f"'{path}' ({batch})", fix="another run")
    return batch


def _structure(kept: Any) -> Any:
    if not isinstance(kept, dict):
        return kept
    # the first files said "fields", and named types of rnnkit.batch alone
    found = [_structure(part) for part in (kept["parts"] if "parts" in kept else kept["fields"])]
    kind = _kind(kept["type"])
    if kind is dict:
        return dict(zip(kept["keys"], found, strict=True))
    if issubclass(kind, tuple):
        if len(found) != len(getattr(kind, "_fields", found)):
            raise ValueError(f"{len(found)} parts of a {kept['type']}")
        return tuple.__new__(kind, found)
    return found if kind is list else with_parts(object.__new__(kind), found)


def _kind(name: str) -> type:
    """A type that holds parts."""
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    place, _, path = name.rpartition(":")
    found: Any = sys.modules.get(place) if place else rnnkit.batch
    for part in path.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type) or not _holds_parts(found):
        raise UserError(
            "run",
            "a bad_batch.pt whose types the modules of the run's task, model and data define",
            f"'{name}'",
            fix="the class moved into one of those modules",
        )
    return found  # type: ignore[no-any-return]


def _holds_parts(kind: type) -> bool:
    """Whether a type is known by its parts alone: a dict or list of one's own may hold more."""
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return True
    return kind in _BUILT_IN.values() or (dataclasses.is_dataclass(kind) and not issubclass(kind, dict | list | tuple))
