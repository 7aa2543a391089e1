"""Annotations and values in words: for messages, and as they are typed on the command line."""

import re
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as at

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}


PLAIN = re.compile(r"[A-Za-z0-9_./:+-]+")


def described(hint: Any) -> str:
    """Describe the values that an annotation allows.

    >>> from rnnkit.ranges import Probability
    >>> described(Probability | None)
    'a number in [0, 1) or null'
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if group := group_of(hint):
        names = [field.name for field in fields(group)]
        return f"a mapping with some of {', '.join(names)}{' or null' if type(None) in arguments else ''}"
    if origin is Annotated:
        named = [one.documentation for one in constraints(hint) if isinstance(one, at.DocInfo)]
        return (named or [described(arguments[0])])[0] + _range(arguments[0], constraints(hint))
    if origin in (Union, types.UnionType):
        choices = tuple(choice for member in arguments if get_origin(member) is Literal for choice in get_args(member))
        others = [member for member in arguments if get_origin(member) is not Literal]
        words = [*map(described, others), *([described(Literal[choices])] if choices else [])]
        members = sorted(dict.fromkeys(words), key=["settings with a _target_", "null"].count)
        members = sorted(members, key="null".__eq__)
        return f"{', '.join(members[:-1])} or {members[-1]}" if members[1:] else members[0]
    if origin is Literal:
        names = [*dict.fromkeys(map(written, arguments))]
        return f"one of {', '.join(names)}" if names[1:] else names[0]
    if hint in WORDS or hint is None:
        return WORDS[type(None) if hint is None else hint]
    kind = origin or hint
    if not isinstance(kind, type):
        return "something else"
    if issubclass(kind, PathLike):
        return "a path"
    if issubclass(kind, Mapping):
        return f"a mapping{_each(arguments[1:])}"
    if issubclass(kind, tuple) and arguments and arguments[-1] is not Ellipsis:
        return f"a list of {len(arguments)}{_each(arguments[:1])}"
    if is_many(kind):
        return f"a list{_each(arguments[:1])}"
    return "settings with a _target_"


def written(value: Any) -> str:
    """Return a value as it is typed on the command line: `null`, `true`, `[1,2]`, `'a text'`."""
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{k}:{written(v)}' for k, v in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, str | Path):
        return str(value) if PLAIN.fullmatch(str(value)) else f"'{value}'"
    return str(value)


def _range(hint: Any, constraints: Sequence[Any]) -> str:
    """Describe a range, to follow the type: `, 1 or more`, ` above 0`, ` in [0, 1)`."""
    low = next((c for c in constraints if isinstance(c, at.Gt | at.Ge)), None)
    high = next((c for c in constraints if isinstance(c, at.Lt | at.Le)), None)
    words = ""
    if low and high:
        if hint is int and isinstance(low, at.Ge):
            return f" from {low.ge} to {int(str(high.lt)) - 1 if isinstance(high, at.Lt) else high.le}"
        left = f"({low.gt}" if isinstance(low, at.Gt) else f"[{low.ge}"
        words = f" in {left}, {high.lt})" if isinstance(high, at.Lt) else f" in {left}, {high.le}]"
    elif low:
        words = f" above {low.gt}" if isinstance(low, at.Gt) else f", {low.ge} or more"
    elif high:
        words = f" below {high.lt}" if isinstance(high, at.Lt) else f", {high.le} or less"
    for c in constraints:
        if isinstance(c, at.MinLen):
            words += ", not empty" if c.min_length == 1 else f", {c.min_length} or more of them"
        elif isinstance(c, at.MaxLen):
            words += f", {c.max_length} of them at most"
        elif isinstance(c, at.MultipleOf):
            words += f", a multiple of {c.multiple_of}"
        elif isinstance(c, at.Predicate) and not any(isinstance(one, at.DocInfo) for one in constraints):
            words += f" for which {getattr(c.func, '__name__', c.func)} holds"
    return words


def _each(arguments: Sequence[Any]) -> str:
    return f" (each: {described(arguments[0])})" if arguments and arguments[0] is not Any else ""


def constraints(hint: Any) -> list[Any]:
    """Return the constraints of an Annotated, with groups of constraints unpacked."""
    found: list[Any] = []
    for one in hint.__metadata__:
        found += one if isinstance(one, at.GroupedMetadata) else [one]
    return found


def is_many(kind: type) -> bool:
    """Whether a class is a collection of the standard library."""
    return kind.__module__ in ("builtins", "collections.abc") and issubclass(kind, Iterable) and kind is not bytes


def group_of(hint: Any) -> type | None:
    """Return the dataclass whose fields are the keys of a mapping, if an annotation allows one.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Split:
    ...     valid_fraction: float = 0.1
    >>> group_of(Split | Mapping[str, Any] | None).__name__, group_of(int | None)
    ('Split', None)
    """
    hint = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return next((one for one in members if isinstance(one, type) and is_dataclass(one)), None)
