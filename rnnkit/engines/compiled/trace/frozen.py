"""Python values as keys: equal as long as nothing in them has changed."""

import functools
import types
from collections import deque
from collections.abc import Hashable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

NUMBERS = (bool, int, float, complex, str, bytes, type(None), torch.dtype)
DEPTH = 4
"""How many objects within objects are looked into; collections do not count."""
OWN = frozenset({*vars(nn.Module()), "forward"})
"""What every module has: parameters, hooks and a forward, which are looked at by themselves."""


def contents(attributes: dict[str, Any]) -> dict[str, Hashable]:
    """Of a module's attributes, those that its class has given it."""
    return {name: frozen(value) for name, value in attributes.items() if name not in OWN}


def frozen(value: Any, depth: int = DEPTH, seen: set[int] | None = None) -> Hashable:
    """Numbers as they are; collections, functions and plain objects by what they hold; anything else by identity.

    >>> limits = {"low": [0.5]}
    >>> before = frozen(limits)
    >>> limits["low"].append(0.7)
    >>> frozen(limits) == before
    False
    """
    kind = type(value)
    if kind in (bool, int, str, type(None)):
        return kind, value
    if isinstance(value, NUMBERS):
        # A zero has a sign.
        return kind, value or repr(value)
    seen = set() if seen is None else seen
    if isinstance(value, (type, Tensor, types.ModuleType)) or id(value) in seen or depth == 0:
        return id(value)
    seen.add(id(value))

    def within(*parts: Any) -> tuple[Hashable, ...]:
        return tuple(frozen(part, depth, seen) for part in parts)

    if isinstance(value, (dict, types.MappingProxyType)):
        return kind, *(within(*item) for item in value.items()), _attributes(value, depth, seen)
    if isinstance(value, (list, tuple, deque)):
        return kind, *within(*value), _attributes(value, depth, seen)
    if isinstance(value, (set, frozenset)):
        return kind, frozenset(within(*value))
    if isinstance(value, (bytearray, np.ndarray)):
        return kind, str(getattr(value, "dtype", "")), getattr(value, "shape", ()), bytes(value)
    if isinstance(value, types.FunctionType):
        return _Same(value.__code__), *within(value.__defaults__, value.__kwdefaults__, *closure(value))
    if isinstance(value, types.MethodType):
        return kind, *within(value.__func__, value.__self__)
    if isinstance(value, functools.partial):
        return kind, *within(value.func, value.args, value.keywords)
    if isinstance(value, (staticmethod, classmethod)):
        return kind, *within(value.__func__)
    if isinstance(value, property):
        return kind, *within(value.fget)
    attributes = _attributes(value, depth, seen)
    if attributes:
        return id(value), attributes
    hasher: Any = kind.__hash__
    try:
        # A date, a fraction, a built-in function: values, whose places in memory are used again.
        return (kind, hash(value), value) if hasher is not object.__hash__ else id(value)
    except TypeError:
        return id(value)


def _attributes(value: Any, depth: int, seen: set[int]) -> tuple[Hashable, ...]:
    """What an object holds by name."""
    held = getattr(value, "__dict__", None)
    found = dict(held) if type(held) is dict else {}
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return tuple((name, frozen(part, depth - 1, seen)) for name, part in found.items())


def closure(function: types.FunctionType) -> list[Any]:
    """What a function has taken from where it was defined; a variable without a value has none here either."""
    found = []
    for cell in function.__closure__ or ():
        with suppress(ValueError):
            found.append(cell.cell_contents)
    return found


class _Same:
    """Equal to itself alone, and holding what it stands for, so that no other object takes its place in memory."""

    __slots__ = ("held",)

    def __init__(self, held: object) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return type(other) is _Same and other.held is self.held

    def __hash__(self) -> int:
        return id(self.held)
