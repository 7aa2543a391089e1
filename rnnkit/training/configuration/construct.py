"""Building objects from the configuration, with errors that name the key."""

import inspect
import pkgutil
import re
from typing import Any

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig

from rnnkit.errors import UserError


def construct(config: DictConfig, key: str, **arguments: Any) -> Any:
    """Call the `_target_` of `config[key]` with its other keys and `arguments`; None if the key is null.

    Raises:
        UserError: if the target cannot be imported, or an argument is unknown or missing; a UserError of the target is
            raised as it is.
    """
    node = config.get(key)
    if node is None:
        return None
    try:
        # arguments are passed to the finished partial: Hydra would copy modules that pass through it
        built = hydra.utils.instantiate(node, _partial_=True, _convert_="all")
        return built(**arguments) if not node.get("_partial_") else built
    except InstantiationException as error:
        raise _explained(error, key) from error
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            key, f"arguments of {node.get('_target_')}", str(error), fix="rnnkit train --cfg job"
        ) from error


def required(config: DictConfig, key: str) -> list[str]:
    """Return the required arguments of the `_target_` of `config[key]` that are not among its keys."""
    parameters = inspect.signature(locate(key, config[key]._target_)).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in parameters if p.default is p.empty and p.kind in named and p.name not in config[key]]


def locate(key: str, target: Any) -> Any:
    """Return the class or function of a `_target_`.

    Raises:
        UserError: if it cannot be imported or is not callable.
    """
    try:
        found = pkgutil.resolve_name(target)
    except Exception as error:  # importing a module can raise anything
        raise _not_found(key, f"{target} ({type(error).__name__}: {error})") from error
    if not callable(found):
        raise _not_found(key, f"{target}, a {type(found).__name__}")
    return found


def _not_found(key: str, got: str) -> UserError:
    fix = f"{key}._target_=a.dotted.Name, importable from the current folder"
    return UserError(f"{key}._target_", "something that can be imported", got, fix=fix)


def _explained(error: BaseException, key: str) -> UserError:
    """Return the innermost reason of an error of Hydra, with the full key where it happened."""
    inner = re.search(r"full_key: (\S+)", str(error))
    where = inner[1] if inner else key
    target = re.search(r"Error (?:locating|loading) [^']*'([^']+)'", str(error))
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, UserError):
        return error
    if target is not None:
        return _not_found(where, f"{target[1]} ({type(error).__name__}: {error})")
    return UserError(
        where, "arguments of its _target_", f"{type(error).__name__}: {error}", fix="rnnkit train --cfg job"
    )
