"""A batch in a form that can be saved with plain values only, so that loading the file runs no code."""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

import rnnkit.batch
from rnnkit.batch import ForecastExtra, ForecastInputs, SequenceBatch, TagExtra, TokenInputs, parts, with_parts
from rnnkit.errors import UserError

_BUILT_IN = {"tuple": tuple, "list": list, "dict": dict}
_EARLIER: dict[type, tuple[str, ...]] = {
    SequenceBatch: ("inputs", "targets", "lengths", "reset", "num_steps"),
    ForecastInputs: (*ForecastInputs._fields, *ForecastExtra._fields),
    TokenInputs: (*TokenInputs._fields, *TagExtra._fields),
}
"""The fields of types in files without field names. The fields that only metrics read were among the inputs then; no
step needs them."""


def plain(value: Any) -> Any:
    """Return a value as tensors, numbers and containers of them, each with the name of its type.

    Raises:
        TypeError: for anything else.

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
    names = {"names": list(kind._fields)} if hasattr(kind, "_fields") else {}
    return {"type": name, "parts": [plain(part) for part in found], **keys, **names}


_CASE = {"state_dict": Mapping, "carry": list, "random": Tensor, "step": int, "batch": Mapping}
"""The parts of a `bad_batch.pt`."""


def check_case(case: Any, path: Path) -> None:
    """Check that the content of a `bad_batch.pt` has its parts.

    Raises:
        UserError: if it does not.
    """
    problem = None
    if not isinstance(case, Mapping):
        problem = f"a {type(case).__name__}"
    else:
        wrong = [name for name, kind in _CASE.items() if not isinstance(case.get(name), kind)]
        problem = f"{', '.join(wrong)} missing or of another type" if wrong else None
    if problem is not None:
        raise UserError("run", "a whole bad_batch.pt", f"'{path}' ({problem})", fix="another run")


def read_batch(kept: Any, path: Path) -> SequenceBatch:
    """Return the batch that was saved as `plain(batch)`.

    Types are looked up among the imported modules only, so that the file cannot make the program import code. Import
    the model, the task and the data modules first.

    Raises:
        UserError: if a type is not found or is not a container, or the content was not made by `plain`.
    """
    try:
        batch = _structure(kept)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        batch = f"{type(error).__name__}: {error}"
    if not isinstance(batch, SequenceBatch):
        raise UserError(
            "run", "an undamaged bad_batch.pt", f"'{path}' ({batch})", fix="an undamaged copy of the run folder"
        )
    return batch


def _structure(kept: Any) -> Any:
    if not isinstance(kept, dict):
        return kept
    # in the first version, the key was "fields", and all types were of rnnkit.batch
    found = [_structure(part) for part in (kept["parts"] if "parts" in kept else kept["fields"])]
    kind = _kind(kept["type"])
    if kind is dict:
        return dict(zip(kept["keys"], found, strict=True))
    if hasattr(kind, "_fields"):
        return tuple.__new__(kind, _fields(kind, found, kept.get("names")))
    if kind is tuple:
        return tuple(found)
    return found if kind is list else with_parts(object.__new__(kind), found)


def _fields(kind: Any, found: list[Any], names: list[str] | None) -> list[Any]:
    """Return the fields of a NamedTuple in its order; raise ValueError for fields that it does not have."""
    earlier = _EARLIER.get(kind, kind._fields)
    given = dict(zip(earlier if names is None else names, found, strict=True))
    known = {**kind._field_defaults, **given}
    if not known.keys() >= {*kind._fields} or not given.keys() <= {*kind._fields, *earlier}:
        raise ValueError(f"fields {', '.join(map(str, given))} of a {kind.__name__}")
    return [known[name] for name in kind._fields]


def _kind(name: str) -> type:
    """Return the container type of a name."""
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
    """Whether a type is fully described by its items; a subclass of dict or list may have other attributes."""
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return True
    return kind in _BUILT_IN.values() or (dataclasses.is_dataclass(kind) and not issubclass(kind, dict | list | tuple))
