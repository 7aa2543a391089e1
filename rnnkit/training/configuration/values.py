"""Validation of one value against one annotation."""

import difflib
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import annotated_types as at

from rnnkit.errors import UserError
from rnnkit.training.configuration.wording import constraints, described, is_many, written

MISSING: Any = object()
"""The default of a parameter without one."""

LARGEST = 2**63 - 1
BY_NAME = ("torch.device", "torch.dtype")
"""Classes that torch also accepts by name."""


def check_value(key: str, value: Any, hint: Any, default: Any = MISSING) -> None:
    """Check that a value fits an annotation; the message proposes a value that does.

    The default fits in any case. A mapping with `_target_` may stand for any object, but not for a number, a text or a
    choice; its content is not checked here.

    >>> from rnnkit.ranges import PositiveInt
    >>> check_value("model.num_layers", 0, PositiveInt, default=2)
    Traceback (most recent call last):
    rnnkit.errors.UserError: model.num_layers: expected a whole number, 1 or more; got 0. Try: model.num_layers=2
    """
    if fits(value, hint) or (default is not MISSING and type(value) is type(default) and value == default):
        return
    got = repr(value) if isinstance(value, str) else written(value)
    raise UserError(key, described(hint), got, fix=_fix(key, value, hint, default))


def fits(value: Any, hint: Any) -> bool:
    """Whether a value has the annotated type and is in its range."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in (Any, object, MISSING) or isinstance(hint, (str, TypeVar)):
        return True
    if origin is Annotated:
        bounds = constraints(hint)
        unbounded = isinstance(value, float) and math.isinf(value) and any(_is_infinite(one) for one in bounds)
        return (unbounded or fits(value, arguments[0])) and all(_meets(value, one) for one in bounds)
    if origin in (Union, types.UnionType):
        return any(fits(value, member) for member in arguments)
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if hint in (None, type(None)):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    kind = origin or hint
    if hint is str or (isinstance(kind, type) and issubclass(kind, PathLike)):
        return isinstance(value, str | Path)
    if is_node(value):
        return True
    if not isinstance(kind, type):
        return True  # annotations that cannot be checked
    if getattr(kind, "_is_protocol", False):
        return all(hasattr(value, name) for name in _members_of(kind))
    if isinstance(value, str) and f"{kind.__module__}.{kind.__name__}" in BY_NAME:
        return True
    if is_dataclass(kind) and isinstance(value, Mapping):
        return True  # its keys are checked one by one
    if issubclass(kind, Mapping):
        keys, values = arguments or (Any, Any)
        return isinstance(value, Mapping) and all(fits(k, keys) and fits(v, values) for k, v in value.items())
    if issubclass(kind, tuple) and arguments and arguments[-1] is not Ellipsis:
        return isinstance(value, list | tuple) and _all_fit(value, arguments)
    if is_many(kind):
        item = arguments[0] if arguments else Any
        return isinstance(value, list | tuple) and all(fits(one, item) for one in value)
    return isinstance(value, kind) and not isinstance(value, Mapping)


def is_node(value: Any) -> bool:
    """Whether a value describes an object to build."""
    return isinstance(value, Mapping) and "_target_" in value


def _all_fit(values: Sequence[Any], hints: Sequence[Any]) -> bool:
    return len(values) == len(hints) and all(map(fits, values, hints))


def _members_of(protocol: type) -> set[str]:
    parts = [base for base in protocol.__mro__ if getattr(base, "_is_protocol", False)]
    names = {name for part in parts for name in (*vars(part), *vars(part).get("__annotations__", {}))}
    return {name for name in names if not name.startswith("_") or name in ("__call__", "__iter__", "__len__")}


def _is_infinite(constraint: Any) -> bool:
    return math.inf in (abs(getattr(constraint, name, 0)) for name in ("ge", "le"))


def _meets(value: Any, constraint: Any) -> bool:
    checks: dict[type, Callable[[], bool]] = {
        at.Gt: lambda: value > constraint.gt,
        at.Ge: lambda: value >= constraint.ge,
        at.Lt: lambda: value < constraint.lt,
        at.Le: lambda: value <= constraint.le,
        at.MinLen: lambda: len(value) >= constraint.min_length,
        at.MaxLen: lambda: len(value) <= constraint.max_length,
        at.MultipleOf: lambda: value % constraint.multiple_of == 0,
        at.Predicate: lambda: bool(constraint.func(value)),
    }
    try:
        return checks[type(constraint)]() if type(constraint) in checks else True
    except (TypeError, ValueError):  # a constraint for another type of the union
        return False


def _fix(key: str, value: Any, hint: Any, default: Any) -> str:
    choices = [one for one in _members(hint) if isinstance(one, str)]
    near = difflib.get_close_matches(str(value), choices, n=1)
    if near:
        return f"{key}={near[0]}"
    for other in (str(value), [value] if value else None, int(value) if _is_whole(value) else None):
        if other is not None and fits(other, hint) and not isinstance(value, Mapping):
            text = f"'{other}'" if isinstance(other, str) else written(other)
            return f'"{key}={text}"' if isinstance(other, str) else f"{key}={text}"
    proposed = default if default is not MISSING and fits(default, hint) else example(hint)
    return f"{key}={written(proposed)}" if proposed is not MISSING else f"{key}._target_=a.dotted.Name"


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer() and abs(value) < 2**53


def _members(hint: Any) -> list[Any]:
    """Return all choices of the Literals in an annotation."""
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [one for argument in get_args(hint) for one in _members(argument)]


def example(hint: Any) -> Any:
    """Return a value that fits; MISSING if none is known."""
    if get_origin(hint) in (Union, types.UnionType):
        members = (example(member) for member in get_args(hint))
        return next((one for one in members if one is not MISSING), MISSING)
    inner = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    limits = [getattr(c, name, None) for c in get_args(hint)[1:] for name in ("ge", "gt", "le", "lt")]
    bounds = [limit for limit in limits if limit is not None]
    middle = [sum(bounds) / len(bounds)] if bounds else []
    tried = [1, 1.0, *bounds, *middle, *(bound + 1 for bound in bounds), *_members(hint), None, False, "text", [], [1]]
    return next((one for one in tried if fits(one, inner) and fits(one, hint)), MISSING)
