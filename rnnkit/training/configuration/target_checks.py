"""Checks of the classes that a configuration names and of their arguments, before anything is built or imported."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rnnkit.errors import UserError
from rnnkit.training.configuration import own_code
from rnnkit.training.configuration.allowed import CHECKPOINT, KNOWN_ROOTS, TRAINER, canonical, is_missing, is_name

VARIABLE = "RNNKIT_ALLOW"


def check_targets(config: DictConfig, typed: Mapping[str, Any] | None = None) -> None:
    """Check that a configuration runs no code and writes no files without the user's consent.

    Allowed are the targets of `rnnkit.training.configuration.allowed`; targets on the command line itself (`typed`, by
    dotted key); packages in the environment variable RNNKIT_ALLOW, separated by commas; and classes of the current
    folder that the user has typed there before. No name is imported before it is allowed. The rule holds for every
    node, at any place and under any key.

    Raises:
        UserError: naming the key, the target or argument, and how to allow it.
    """
    typed = typed or {}
    for key, node in _nodes(OmegaConf.to_container(config)):
        if "_target_" in node:
            target = node["_target_"]
            by_hand = _is_typed(_joined(key, "_target_"), target, typed)
            _check_target(key, target, by_hand)
            if not by_hand:
                _check_arguments(key, target, node, typed)
        if node.get("weights_only", True) is not True and not _is_typed(_joined(key, "weights_only"), False, typed):
            raise _refusal(_joined(key, "weights_only"), "true", str(node["weights_only"]), typing="false")


def _check_target(key: str, target: Any, by_hand: bool) -> None:
    root = str(target).partition(".")[0]
    if by_hand or root in _allowed_roots():
        if isinstance(target, str) and root not in KNOWN_ROOTS:
            own_code.find_here(target)
        return
    if root in KNOWN_ROOTS:
        if isinstance(target, str) and (canonical(target) or is_missing(target)):
            return
    elif is_name(target) and own_code.is_remembered(target):
        own_code.find_here(target)
        return
    raise UserError(
        _joined(key, "_target_"),
        "a class of rnnkit, torch.nn, torch.optim or lightning that only computes, or one that you have typed yourself "
        "in this folder",
        f"{target}, whose code would run",
        fix=f"{VARIABLE}={root} before the command, if you trust it",
    )


def _check_arguments(key: str, target: str, node: Mapping[Any, Any], typed: Mapping[str, Any]) -> None:
    """Check that the arguments of an allowed class neither write outside of the run folder nor name code to call."""
    rules = ARGUMENTS.get(canonical(target) or "")
    if rules is None:
        return
    for name, value in node.items():
        where = _joined(key, name)
        if name in ("_target_", "_partial_", "_convert_", "_recursive_") or _is_typed(where, value, typed):
            continue
        fits = rules.get(name, _anything)
        if not fits(value):
            raise _refusal(where, "nothing that leaves the run folder or runs code", repr(value), typing=str(value))


def _refusal(key: str, expected: str, got: str, typing: str) -> UserError:
    return UserError(key, expected, f"{got} from a configuration file", fix=f"{key}={typing} typed, if you trust it")


def _is_typed(key: str, value: Any, typed: Mapping[str, Any]) -> bool:
    return key in typed and type(typed[key]) is type(value) and bool(typed[key] == value)


def _allowed_roots() -> list[str]:
    return [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]


def _nodes(value: Any, key: str = "") -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield every mapping in plain values, with its dotted key."""
    if isinstance(value, Mapping):
        yield key, value
        for name, part in value.items():  # keys can be numbers, as in a table of labels
            yield from _nodes(part, _joined(key, name))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _nodes(part, f"{key}[{index}]")


def _joined(key: str, name: Any) -> str:
    return f"{key}.{name}" if key else str(name)


def _anything(value: Any) -> bool:
    return True


def _nothing(value: Any) -> bool:
    return value is None or value is False or value == []


def _matching(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern)
    return lambda value: value is None or (isinstance(value, str) and compiled.fullmatch(value) is not None)


_FIELD = r"\{\w+(/\w+)*(:[0-9.]*[defg]?)?\}"
ARGUMENTS: dict[str, dict[str, Callable[[Any], bool]]] = {
    TRAINER: {
        **dict.fromkeys(("logger", "callbacks", "plugins", "default_root_dir", "model_registry", "_args_"), _nothing),
        "num_nodes": lambda value: value in (None, 1) and value is not True,  # a run with several waits for other nodes
        "accelerator": _matching(r"auto|cpu|gpu|cuda|mps"),
        "strategy": _matching(r"auto|single_device|(ddp|fsdp)[a-z_]*"),
        "profiler": _matching(r"simple|advanced"),
    },
    # without its own folder it writes into the run folder; the format "c" would turn the number 46 into a dot
    CHECKPOINT: {
        **dict.fromkeys(("dirpath", "_args_"), _nothing),
        "filename": _matching(rf"(?!\.)([\w=-]|\.(?!\.)|{_FIELD})+"),
    },
}
"""By the name of a class, the values that its arguments may have unless they are typed."""
