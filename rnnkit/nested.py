"""Groups of constructor arguments: dataclasses that a user gives as an object or as a mapping."""

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, TypeVar

from rnnkit.errors import UserError

T = TypeVar("T")


def nested(kind: type[T], given: T | Mapping[str, Any] | None, key: str) -> T:
    """Return the group of arguments: `given` itself, or an object of the dataclass `kind` with the values of a mapping.

    Raises:
        UserError: the mapping has an unknown name.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Split:
    ...     valid_fraction: float = 0.1
    >>> nested(Split, {"valid_fraction": 0.2}, "data.split"), nested(Split, None, "data.split")
    (Split(valid_fraction=0.2), Split(valid_fraction=0.1))
    """
    if given is None:
        return kind()
    if isinstance(given, kind):
        return given
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if not isinstance(given, Mapping):
        example = f"{key}.{known[0]}=..."
        raise UserError(key, f"a mapping with some of {', '.join(known)}", repr(given)[:80], fix=example)
    for name in given:
        if name not in known:
            near = get_close_matches(str(name), known, n=1, cutoff=0.4)
            fix = f"{key}.{near[0]}" if near else f"leaving out {key}.{name}"
            raise UserError(f"{key}.{name}", f"one of {', '.join(known)}", f"{name!r}", fix=fix)
    return kind(**given)
