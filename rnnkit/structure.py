"""Validation of values from a file against types.

Types are annotations: `TypedDict` for a mapping with known keys, `list[str]`, `dict[str, float]`, `tuple[int, str]` for
a list of two, `Literal`, `X | None`, `torch.Tensor`, and `Annotated` with a range of `annotated_types`. A float is
finite; `numbers.Real` may be infinite or NaN.
"""

import math
import types
from collections.abc import Iterator, Mapping
from itertools import islice
from numbers import Real
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import annotated_types as at

LARGEST = 2**63 - 1


def check(value: object, hint: Any, place: str = "") -> None:
    """Raise ValueError, naming the first place where a value does not have the type.

    >>> check({"counts": [1, "2"]}, dict[str, list[int]])
    Traceback (most recent call last):
    ValueError: counts[1] is '2', which is not a whole number
    """
    for fault in islice(_faults(value, hint, place), 1):
        raise ValueError(fault)


def _faults(value: Any, hint: Any, place: str) -> Iterator[str]:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return
    if origin is Annotated:
        yield from _faults(value, arguments[0], place)
        for one in hint.__metadata__:
            for limit in one if isinstance(one, at.GroupedMetadata) else (one,):
                if not _meets(value, limit):
                    yield f"{place} is {_shown(value)}, which is out of range"
    elif origin in (Union, types.UnionType):
        if all(any(True for _ in _faults(value, one, place)) for one in arguments):
            # for a mapping or a list, its own fault is more helpful than the fact that no alternative fits
            main = next((one for one in arguments if one is not type(None)), None)
            yield from _faults(value, main, place)
    elif origin is Literal:
        if not any(type(value) is type(one) and value == one for one in arguments):
            yield f"{place} is {_shown(value)}, which is not one of {', '.join(map(str, arguments))}"
    elif is_typeddict(hint):
        yield from _mapping(value, hint, place)
    elif origin is dict:
        if not isinstance(value, Mapping):
            yield f"{place} is {_shown(value)}, which is not a mapping"
            return
        for name, part in value.items():
            yield from _faults(name, arguments[0], f"a key of {place}".removesuffix(" of "))
            yield from _faults(part, arguments[1], _inside(place, name))
    elif origin in (list, tuple):
        yield from _sequence(value, arguments, place, exact=origin is tuple)
    elif not _is(value, hint):
        yield f"{place} is {_shown(value)}, which is not {_NAMES.get(hint) or f'a {hint.__name__}'}"


def _mapping(value: Any, hint: Any, place: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{place} is {_shown(value)}, which is not a mapping".lstrip()
        return
    hints = get_type_hints(hint, include_extras=True)
    for name in sorted(hint.__required_keys__ - value.keys()):
        yield f"{_inside(place, name)} is missing"
    for name, part in value.items():
        if name not in hints:
            yield f"{_inside(place, name)} is not known"
            continue
        inner = hints[name]
        yield from _faults(part, get_args(inner)[0] if name in hint.__optional_keys__ else inner, _inside(place, name))


def _sequence(value: Any, hints: tuple[Any, ...], place: str, *, exact: bool) -> Iterator[str]:
    if not isinstance(value, list | tuple):
        yield f"{place} is {_shown(value)}, which is not a list"
        return
    if exact and len(value) != len(hints):
        yield f"{place} has {len(value)} entries instead of {len(hints)}"
        return
    if not exact and hints[0] is str and all(type(part) is str for part in value):  # a vocabulary can be long
        return
    for index, part in enumerate(value):
        yield from _faults(part, hints[index if exact else 0], f"{place}[{index}]")


def _is(value: object, kind: Any) -> bool:
    if kind in (None, type(None)):
        return value is None
    if kind in (int, float, Real):
        if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
            return False
        return abs(value) <= LARGEST if isinstance(value, int) else kind is Real or math.isfinite(value)
    return isinstance(value, kind)


def _meets(value: Any, limit: Any) -> bool:
    """Whether a value is within one limit; True if it has another type, which is reported instead."""
    try:
        match limit:
            case at.Ge():
                return bool(value >= limit.ge)
            case at.Gt():
                return bool(value > limit.gt)
            case at.Le():
                return bool(value <= limit.le)
            case at.Lt():
                return bool(value < limit.lt)
            case at.MinLen():
                return len(value) >= limit.min_length
            case at.Predicate():
                return bool(limit.func(value))
    except (TypeError, AttributeError):
        pass
    return True


def _inside(place: str, name: object) -> str:
    return f"{place}.{name}" if place else str(name)


def _shown(value: object) -> str:
    shown = repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


_NAMES = {
    int: "a whole number",
    float: "a finite number",
    Real: "a number",
    bool: "true or false",
    str: "text",
    type(None): "null",
}
