"""Signatures of the classes and functions behind a `_target_`: names, annotations, defaults."""

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from rnnkit.training.configuration.foreign import foreign_annotations
from rnnkit.training.configuration.values import MISSING


class Parameter(NamedTuple):
    """One argument: its annotation, `Any` if there is none that can be resolved, and its default."""

    hint: Any
    default: Any


class Signature(NamedTuple):
    """All arguments by name, and whether other keyword arguments are accepted."""

    parameters: Mapping[str, Parameter]
    is_open: bool


@lru_cache(maxsize=1024)
def signature_of(target: Any) -> Signature:
    """Return the arguments of a class or function.

    For a constructor that passes `**others` on, they include those of the base classes. Classes of torch and Lightning
    have the stricter annotations of `rnnkit.training.configuration.foreign`.
    """
    found: dict[str, Parameter] = {}
    for function in _functions(target):
        try:
            parameters = [*inspect.signature(function).parameters.values()]
        except (TypeError, ValueError):  # implemented in C
            return Signature(found, is_open=True)
        if function is not target:
            parameters = parameters[1:]  # self
        hints = _hints(function)
        for one in parameters:
            if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY):
                default = MISSING if one.default is one.empty else one.default
                found.setdefault(one.name, Parameter(hints.get(one.name, Any), default))
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            break
    else:
        return Signature(found | _foreign(target, found), is_open=True)
    return Signature(found | _foreign(target, found), is_open=False)


def _functions(target: Any) -> Iterator[Callable[..., Any]]:
    """Yield the function itself, or the constructors of a class and of its base classes, in order."""
    if not inspect.isclass(target):
        yield target
        return
    own = [vars(base)["__init__"] for base in target.__mro__ if "__init__" in vars(base) and base is not object]
    yield from own if own else [target]


def _hints(function: Any) -> dict[str, Any]:
    """Return the annotations that can be resolved; names that only a type checker imports cannot."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:  # at least one fails: resolve each by itself
        raw = getattr(function, "__annotations__", {})
        scope = getattr(inspect.unwrap(function), "__globals__", {})
        return {name: _resolved(hint, scope) for name, hint in raw.items()}


def _resolved(hint: Any, scope: dict[str, Any]) -> Any:
    if not isinstance(hint, str):
        return hint
    try:
        return typing.get_type_hints(type("_", (), {"__annotations__": {"x": hint}}), scope, include_extras=True)["x"]
    except Exception:
        return Any


def _foreign(target: Any, found: Mapping[str, Parameter]) -> dict[str, Parameter]:
    exact = foreign_annotations(target)
    return {name: Parameter(*exact[name]) for name in found if name in exact}
