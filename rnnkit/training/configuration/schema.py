"""Validation of a whole configuration against the annotations of its classes, before anything is read or built."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args, get_origin

import lightning as L
from omegaconf import DictConfig, OmegaConf

from rnnkit.errors import Problems, UserError
from rnnkit.training.configuration.construct import locate
from rnnkit.training.configuration.foreign import SET_BY_A_RUN
from rnnkit.training.configuration.monitored import monitor_problems
from rnnkit.training.configuration.processes import device_problems
from rnnkit.training.configuration.references import at_its_source, references, resolved, with_mode
from rnnkit.training.configuration.settings import RunSettings
from rnnkit.training.configuration.signatures import Signature, signature_of
from rnnkit.training.configuration.values import MISSING, check_value, is_node
from rnnkit.training.configuration.wording import group_of, written

REQUIRED = (
    "task",
    "data",
    "model",
    "optimizer",
    "trainer",
    "callbacks",
    "seed",
    "deterministic",
    "monitor",
    "patience",
)
"""Keys that may be null if `RunSettings` allows it, but not be left out."""


def check_configuration(config: DictConfig) -> None:
    """Check for unknown arguments, values of another type or out of range, and classes of another kind.

    The arguments of a node are those of its `_target_`, which may be a user's own class. The keys of an argument that
    is annotated with a dataclass are its fields. An argument without an annotation accepts any value, and so does an
    unknown key at the top level.

    Raises:
        UserError: with all problems, each by its key.
    """
    for name in REQUIRED:
        if name not in config:
            raise UserError(name, "a value, which every run needs", "none", fix=f"leaving out ~{name}")
    plain = resolved(with_mode(config))
    sources = dict(references(OmegaConf.to_container(config, resolve=False)))
    problems: dict[str, UserError] = {}
    for problem in (
        *_mapping("", plain, RunSettings, is_closed=False),
        *monitor_problems(config),
        *device_problems(config),
    ):
        named = at_its_source(problem, sources)
        problems.setdefault(named.argument, named)
    found = Problems()
    found.found = [*problems.values()]
    found.raise_all()


def check_built(config: DictConfig, names: Iterable[str]) -> None:
    """Check the nodes that a command builds alone; see `check_configuration`.

    Raises:
        UserError: with all problems, each by its key.
    """
    settings = signature_of(RunSettings).parameters
    plain = resolved(config)
    found = Problems()
    found.found = [problem for name in names for problem in _nodes(name, _taken(plain[name]), settings[name].hint)]
    found.raise_all()


def _taken(node: Any) -> Any:
    """Return a node without the arguments that the data have added for the `**others` of its class."""
    if not is_node(node):
        return node
    try:
        target = locate("", node["_target_"])
        others = any(one.kind is one.VAR_KEYWORD for one in inspect.signature(target).parameters.values())
    except (UserError, TypeError, ValueError):  # reported by its key
        return node
    known = signature_of(target).parameters
    return {name: value for name, value in node.items() if name in known or name.startswith("_") or not others}


def _mapping(key: str, node: Mapping[str, Any], target: Any, *, is_closed: bool = True) -> Iterator[UserError]:
    """Yield the problems of the arguments of a class or function."""
    signature = signature_of(target)
    is_trainer = inspect.isclass(target) and issubclass(target, L.Trainer)
    for name, value in node.items():
        where = f"{key}.{name}".lstrip(".")
        if name in ("_target_", "_args_"):
            continue
        if name in ("_partial_", "_recursive_"):
            yield from _caught(check_value, where, value, bool, True)
        elif is_trainer and name in SET_BY_A_RUN:
            yield UserError(where, "no value, since the run sets it", written(value), fix=SET_BY_A_RUN[name])
        elif name in signature.parameters:
            hint, default = signature.parameters[name]
            group = group_of(hint)
            if group is not None and isinstance(value, Mapping) and not is_node(value):
                yield from _mapping(where, value, group)
                continue
            problems = [*_value(where, value, hint, default)]
            yield from problems or _nodes(where, value, hint)
        elif signature.is_open or not is_closed or str(name).startswith("_"):
            yield from _nodes(where, value, Any)
        else:
            yield _unknown(where, name, value, node.get("_target_"), signature)


def _value(key: str, value: Any, hint: Any, default: Any) -> Iterator[UserError]:
    """Yield the problems of one value; for a mapping, of each of its values."""
    if isinstance(value, Mapping) and not is_node(value) and get_origin(hint) is Mapping:
        for name, inner in value.items():
            yield from _value(f"{key}.{name}", inner, get_args(hint)[1], MISSING)
    else:
        yield from _caught(check_value, key, value, hint, default)


def _nodes(key: str, value: Any, hint: Any) -> Iterator[UserError]:
    """Yield the problems of each node inside a value, at any depth."""
    if is_node(value):
        yield from _node(key, value, hint)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _nodes(f"{key}.{name}", inner, _inner(hint))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _nodes(f"{key}[{index}]", inner, _inner(hint))


def _node(key: str, node: Mapping[str, Any], hint: Any) -> Iterator[UserError]:
    try:
        target = locate(key, node["_target_"])
    except UserError as error:
        yield error
        return
    kinds = tuple(kind for kind in _kinds(hint) if kind.__module__.startswith(("rnnkit.", "torch.", "lightning.")))
    if key.count(".") <= key.startswith("callbacks.") and kinds and inspect.isclass(target):
        is_built = not node.get("_partial_")
        if not (is_built and issubclass(target, kinds)):
            expected = f"a class that is a {' or '.join(kind.__name__ for kind in kinds)}"
            got = f"{node['_target_']}{'' if is_built else ' with _partial_: true'}"
            yield UserError(
                f"{key}._target_", expected, got, fix=f"a subclass of {kinds[0].__module__}.{kinds[0].__name__}"
            )
            return
    yield from _mapping(key, node, target)


def _kinds(hint: Any) -> Iterator[type]:
    """Yield the classes among the alternatives of an annotation."""
    if inspect.isclass(hint):
        yield hint
    for argument in getattr(hint, "__args__", ()):
        if inspect.isclass(argument) and argument is not type(None):
            yield argument


def _inner(hint: Any) -> Any:
    arguments = getattr(hint, "__args__", ())
    return arguments[-1] if arguments else Any


def _unknown(key: str, name: str, value: Any, target: str | None, signature: Signature) -> UserError:
    near = get_close_matches(name, signature.parameters, n=3)
    group = key.removesuffix(f".{name}")
    expected = f"an argument of {target}{', such as ' + ', '.join(near) if near else ''}"
    if target is None:  # a group of arguments
        expected = f"a key of {group}: {', '.join(signature.parameters)}"
    fix = f"{key.removesuffix(name)}{near[0]}={written(value)}" if near else f"leaving out {key}"
    return UserError(key, expected, f"{name}, which it does not take", fix=fix)


def _caught(check: Callable[..., None], *arguments: Any) -> Iterator[UserError]:
    try:
        check(*arguments)
    except UserError as error:
        yield error
