"""From configuration to objects, with errors that name the key."""

import inspect
import pkgutil
import re
from typing import Any

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig

from rnnkit.errors import UserError


def construct(config: DictConfig, key: str, **arguments: Any) -> Any:
    """Calls the `_target_` of `config[key]` with its other keys and `arguments`; None where the key is null.

    Raises:
        UserError: for a target that cannot be imported, an argument that it does not take or lacks, and whatever
            UserError the target itself raises.
    """
    node = config.get(key)
    if node is None:
        return None
    try:
        # arguments are given to the finished partial: Hydra would copy modules that pass through its hands
        built = hydra.utils.instantiate(node, _partial_=True, _convert_="all")
        return built(**arguments) if not node.get("_partial_") else built
    except InstantiationException as error:
        raise _explained(error, key) from error
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(key, f"what {node.get('_target_')} takes", str(error), fix="rnnkit train --cfg job") from error


def required(config: DictConfig, key: str) -> list[str]:
    """The arguments that the `_target_` of `config[key]` must be given and that are not among its keys."""
    parameters = inspect.signature(locate(key, config[key]._target_)).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in parameters if p.default is p.empty and p.kind in named and p.name not in config[key]]


def locate(key: str, target: Any) -> Any:
    """The class or function that a `_target_` names; UserError where there is none that can be imported and called."""
    try:
        found = pkgutil.resolve_name(target)
    except Exception as error:  # what a module raises when it is imported, too
        raise _not_found(key, f"{target} ({type(error).__name__}: {error})") from error
    if not callable(found):
        raise _not_found(key, f"{target}, a {type(found).__name__}")
    return found


def _not_found(key: str, got: str) -> UserError:
    fix = f"{key}._target_=a.dotted.Name, importable from the folder you stand in"
    return UserError(f"{key}._target_", "something that can be imported", got, fix=fix)


def _explained(error: BaseException, key: str) -> UserError:
    """The reason at the bottom of what Hydra raises, with the full key where it happened."""
    inner = re.search(r"full_key: (\S+)", str(error))
    where = inner[1] if inner else key
    target = re.search(r"Error (?:locating|loading) [^']*'([^']+)'", str(error))
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, UserError):
        return error
    if target is not None:
        return _not_found(where, f"{target[1]} ({type(error).__name__}: {error})")
    return UserError(where, "what its _target_ takes", f"{type(error).__name__}: {error}", fix="rnnkit train --cfg job")
