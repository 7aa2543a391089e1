"""Python values as keys for comparison: two keys are equal if nothing in the value has changed."""

import functools
import types
from collections import deque, namedtuple
from collections.abc import Hashable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

NUMBERS = (bool, int, float, complex, str, bytes, type(None), torch.dtype)
DEPTH = 4
"""The nesting depth of objects that is inspected; collections do not count."""
FIELD = type(vars(namedtuple("_Named", "field"))["field"])
"""The type of the attributes of a named tuple."""
OWN = frozenset({*vars(nn.Module()), "forward"})
"""Attributes of every module (parameters, hooks, forward), which are compared separately."""


def contents(attributes: dict[str, Any]) -> dict[str, Hashable]:
    """Return the attributes of a module that its class has added."""
    return {name: frozen(value) for name, value in attributes.items() if name not in OWN}


def frozen(value: Any, depth: int = DEPTH, seen: set[int] | None = None) -> Hashable:
    """Return a key: numbers by value; collections, functions and plain objects by content; others by identity.

    A key with an `Address` means something only as long as the object with this address lives.

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
        # zeros have a sign
        return kind, value or repr(value)
    seen = set() if seen is None else seen
    if isinstance(value, (type, types.ModuleType, FIELD)):
        return _Same(value)
    if isinstance(value, Tensor) or id(value) in seen or depth == 0:
        return Address(id(value))
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
        return Address(id(value)), attributes
    hasher: Any = kind.__hash__
    try:
        # dates, fractions, built-in functions: values, whose addresses are reused
        return (kind, hash(value), value) if hasher is not object.__hash__ else Address(id(value))
    except TypeError:
        return Address(id(value))


def is_portable(key: Hashable) -> bool:
    """Return whether a key is made of values only, so that an equal key of other objects has the same meaning.

    >>> is_portable(frozen([1, "tanh", torch.tanh])), is_portable(frozen([torch.zeros(1)]))
    (True, False)
    """
    if isinstance(key, (tuple, frozenset)):
        return all(map(is_portable, key))
    return not isinstance(key, Address)


class Address(int):
    """The identity of an object that a key does not keep alive."""

    __slots__ = ()


def _attributes(value: Any, depth: int, seen: set[int]) -> tuple[Hashable, ...]:
    """Return the attributes of an object by name."""
    held = getattr(value, "__dict__", None)
    found = dict(held) if type(held) is dict else {}
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return tuple((name, frozen(part, depth - 1, seen)) for name, part in found.items())


def closure(function: types.FunctionType) -> list[Any]:
    """Return the variables that a function closes over, except those without a value."""
    found = []
    for cell in function.__closure__ or ():
        with suppress(ValueError):
            found.append(cell.cell_contents)
    return found


class _Same:
    """A key that equals only itself; it keeps its object alive, so that no other object gets the same address."""

    __slots__ = ("held",)

    def __init__(self, held: object) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return type(other) is _Same and other.held is self.held

    def __hash__(self) -> int:
        return id(self.held)
