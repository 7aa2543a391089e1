"""A search for what a step reads besides its arguments: globals, closures, attributes and collections."""

import dis
import functools
import os
import sys
import types
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from rnnkit.cells.base import Cell
from rnnkit.engines.compiled.trace.frozen import DEPTH, FIELD, closure

LIBRARIES = frozenset({*sys.stdlib_module_names, "torch", "numpy"}) - {"__main__"}
"""Packages whose functions and settings are assumed to be constant."""


COLLECTIONS = (list, dict, set, deque)


FIXED = (bool, int, float, str, type(None), type, types.BuiltinFunctionType, types.ModuleType, FIELD)
"""Types whose instances are immutable."""


ENVIRONMENT = frozenset({"environ", "environb", "getenv", "getenvb"})
"""Names in `os` that give access to environment variables; if a step uses one, all variables are compared."""


Binding = tuple[Mapping[str, Any], str]


class MISSING:
    """Stands for the value of a name that has none."""


class Search:
    """A search from the modules of a cell through functions, classes and objects for all named values."""

    def __init__(self, cell: Cell[Any]) -> None:
        self.places: dict[tuple[int, str], Binding] = {}
        self._names = {"forward"}
        self._owners: dict[int, type | types.ModuleType] = {}
        self._seen: set[int] = set()
        self._pending: list[tuple[Any, int]] = [(module, DEPTH) for module in cell.modules()]
        while self._pending:
            while self._pending:
                self._visit(*self._pending.pop())
            # a class may have an attribute whose name is found later
            for owner in list(self._owners.values()):
                self._look_up(owner)

    def _visit(self, value: Any, depth: int) -> None:
        if id(value) in self._seen or depth == 0:
            return
        self._seen.add(id(value))
        if isinstance(value, (type, types.ModuleType)):
            if not _is_library(value) and not (isinstance(value, type) and issubclass(value, BaseException)):
                self._owners[id(value)] = value
        elif isinstance(value, types.FunctionType):
            if not _is_library(value):
                for code in _codes(value.__code__):
                    self._read(code, value.__globals__)
            self._reach(_parts(value), depth)
        else:
            self._reach(_parts(value), depth)
            self._reach([type(value), *_attributes(value)], depth - 1)

    def _reach(self, values: Iterable[Any], depth: int) -> None:
        self._pending += [(value, depth) for value in values if not isinstance(value, (Tensor, str, int, float))]

    def _read(self, code: types.CodeType, namespace: dict[str, Any]) -> None:
        """Collect the names in bytecode: globals, and possible attributes of any object."""
        names = {*code.co_names, *(constant for constant in code.co_consts if isinstance(constant, str))}
        self._names |= names
        if names & ENVIRONMENT:
            self._add(vars(os), "environ")
        for instruction in dis.get_instructions(code):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL") and instruction.argval in namespace:
                self._add(namespace, instruction.argval)
            elif instruction.opname == "IMPORT_NAME":
                self._reach([sys.modules.get(instruction.argval)], DEPTH)

    def _look_up(self, owner: type | types.ModuleType) -> None:
        """Look up the collected names in a class or module of the user."""
        kinds = [kind for kind in (owner.__mro__ if isinstance(owner, type) else (owner,)) if not _is_library(kind)]
        found: set[str] = set()
        for n, kind in enumerate(kinds):
            # attributes of a later class in the MRO are accessible only by super if an earlier class has them
            names = (self._names | _unnamed(kind)) & vars(kind).keys() - (set() if "super" in self._names else found)
            found |= names
            for name in names:
                # an earlier class may get an attribute of that name later
                for one in kinds[: n + 1]:
                    self._add(vars(one), name, one)

    def _add(self, namespace: Mapping[str, Any], name: str, owner: object = None) -> None:
        at = (id(namespace if owner is None else owner), name)
        if at not in self.places:
            self.places[at] = (namespace, name)
            self._reach([namespace.get(name)], DEPTH)


def value_at(place: Binding) -> Any:
    """Return the value at a place, `MISSING` if there is none."""
    namespace, name = place
    return namespace.get(name, MISSING)


def is_fixed(value: Any) -> bool:
    """Whether a value cannot change without becoming another object."""
    if isinstance(value, types.FunctionType):
        return _is_library(value) or not (value.__closure__ or value.__defaults__ or value.__kwdefaults__)
    if type(value) is tuple:
        return all(isinstance(part, FIXED) for part in value)
    return value is MISSING or isinstance(value, FIXED)


def is_users(value: Any) -> bool:
    """Whether a value is a function that is not part of a library."""
    return isinstance(value, types.FunctionType) and not _is_library(value)


def _is_library(value: Any) -> bool:
    module = value.__name__ if isinstance(value, types.ModuleType) else value.__module__
    return module is None or module.partition(".")[0] in LIBRARIES


def _codes(code: types.CodeType) -> list[types.CodeType]:
    """Return the bytecode of a function and of functions defined inside it."""
    return [code, *(part for inner in code.co_consts if isinstance(inner, types.CodeType) for part in _codes(inner))]


def _unnamed(kind: Any) -> set[str]:
    """Return members that are called without a name: operators, and both methods of an autograd function."""
    if not isinstance(kind, type) or issubclass(kind, (nn.Module, tuple)):
        return set()
    return {
        name for name, member in vars(kind).items() if callable(member) or isinstance(member, (staticmethod, property))
    }


def _parts(value: Any) -> list[Any]:
    """Return the items of a collection, and the parts of a function."""
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return list(value)
    if isinstance(value, types.FunctionType):
        return [*closure(value), *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, (staticmethod, classmethod)):
        return [value.__func__]
    if isinstance(value, property):
        return [value.fget]
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, functools.cached_property):
        return [value.func]
    return [value.__wrapped__] if isinstance(value, type(functools.cache(len))) else []


def _attributes(value: Any) -> list[Any]:
    held = getattr(value, "__dict__", None)
    return list(held.values()) if type(held) is dict else []
