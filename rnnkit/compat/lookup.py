"""Look-up of names that a release of a library may not have."""

import functools
import importlib
import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, ParamSpec, TypeVar

from rnnkit.errors import UserError

P = ParamSpec("P")
R = TypeVar("R")

TESTED = {"torch": ("2.13", "2.14"), "lightning": ("2.6",), "hydra-core": ("1.3",)}
"""The oldest and newest tested releases of each library."""


def look_up(library: str, path: str) -> Any:
    """Return the object at a dotted path, importing modules on the way; raise `UserError` if it does not exist.

    >>> look_up("torch", "collections.abc.Mapping.get")
    <function Mapping.get at ...>
    """
    root, *names = path.split(".")
    try:
        found, module = importlib.import_module(root), root
        for name in names:
            module = f"{module}.{name}"
            found = getattr(found, name) if hasattr(found, name) else importlib.import_module(module)
    except ImportError as error:
        raise missing(library, path) from error
    return found


def reads(library: str, path: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function that reads private attributes: an AttributeError becomes the error of `missing`.

    >>> reads("lightning", "Trainer._x")(lambda trainer: trainer._x)(None)
    Traceback (most recent call last):
    rnnkit.errors.UserError: lightning: expected release 2.6, which has Trainer._x; got ...
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def reading(*arguments: P.args, **options: P.kwargs) -> R:
            try:
                return function(*arguments, **options)
            except AttributeError as error:
                raise missing(library, path) from error

        return reading

    return decorated


def missing(library: str, path: str) -> UserError:
    """Return the error for a name that the installed release does not have."""
    oldest, newest = TESTED[library][0], TESTED[library][-1]
    return UserError(
        library,
        f"release {' or '.join(TESTED[library])}, which has {path}",
        f"{version(library)}, which does not have it",
        fix=f"pip install '{library}>={oldest},<{_next(newest)}'",
    )


def is_newer(installed: str, library: str) -> bool:
    """Whether a release is later than all tested ones.

    >>> is_newer("2.14.9+cpu", "torch"), is_newer("2.15.0.dev20270101", "torch"), is_newer("3.0a1", "torch")
    (False, True, True)
    """
    return _numbers(installed) > _numbers(TESTED[library][-1])


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release)[:2])


def _next(release: str) -> str:
    major, minor = _numbers(release)
    return f"{major}.{minor + 1}"
