"""The configuration folder, and error messages for unknown keys and choices."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rnnkit.cli.suggestions import nearest, nearest_keys
from rnnkit.errors import UserError
from rnnkit.notices import notice

OPTIONAL_GROUPS = ("averaging", "clipping", "debug", "experiment", "insight", "schedule")
"""Groups that a run can leave out."""
NULL_GROUPS = ("insight",)
"""Groups for which null is a choice."""
REQUIRED_KEYS = ("callbacks", "deterministic", "monitor", "patience", "run_dir", "seed")
"""Keys that are not groups and that every run needs."""

CHOICES_WITH_NAMES = ("model/characters", "model/pooling", "model/scaling")
"""Groups whose choices can also be given as values of a key. This is an earlier spelling."""


def config_folder() -> Path:
    """The `configs/` folder. It is inside an installed package, and next to the package in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def groups() -> dict[str, list[str]]:
    """The choices of each group, by name: {"model/cell": ["elman", "gru", "lstm"], ...}."""
    folder = config_folder()
    found: dict[str, list[str]] = {}
    for file in sorted(folder.rglob("*.yaml")):
        if file.parent != folder:
            found.setdefault(file.parent.relative_to(folder).as_posix(), []).append(file.stem)
    return found


def keys(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """All keys of a nested configuration, in dotted form."""
    for name, value in config.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from keys(value, f"{prefix}{name}.")


def without_null(overrides: Iterable[str]) -> list[str]:
    """Return overrides in which `GROUP=null`, for groups for which it is a choice, leaves the group out as Hydra does.

    >>> without_null(["insight=null", "seed=2"])
    ['~insight', 'seed=2']
    """
    return [
        f"~{item[:-5]}" if item.removesuffix("=null") in NULL_GROUPS and item.endswith("=null") else item
        for item in overrides
    ]


def check_choices(overrides: Iterable[str]) -> None:
    """Check the overrides that select choices.

    Raises:
        UserError: a choice is set as a value (`model.cell=gru`), or a group is set to null (`averaging=null`).
    """
    known = groups()
    overrides = list(overrides)
    _check_left_out(overrides, known)
    for key, _, value in (item.partition("=") for item in overrides):
        if key == "run_dir" and not value.strip("'\" "):  # in a sweep, Hydra would write files before our checks run
            raise UserError("run_dir", "the name of a new folder", repr(value), fix="run_dir=runs/mine")
        group = key.replace(".", "/")
        if group in CHOICES_WITH_NAMES and "." in key and value in known[group]:
            notice(f"rnnkit: {key}={value} is now {group}={value}, which is used")
        elif "." in key and value in known.get(group, []):
            expected = f"its keys, such as {key}._target_, or a choice with a slash"
            raise UserError(key, expected, repr(value), fix=f"{group}={value}")
    for group in (item.removesuffix("=null") for item in overrides if item.endswith("=null")):
        if group in known:
            fix = f"~{group}, which leaves it out" if group in OPTIONAL_GROUPS else f"{group}={known[group][0]}"
            raise UserError(group, f"one of {', '.join(known[group])}", "null", fix=fix)


def _check_left_out(overrides: list[str], known: Mapping[str, Any]) -> None:
    """Raise UserError for `~data` and the like. Hydra itself would report only missing keys."""
    for override in overrides:
        name = override[1:].partition("=")[0]
        if override.startswith("~") and name not in OPTIONAL_GROUPS and name in (*known, *REQUIRED_KEYS):
            fix = shlex.join(["rnnkit", "train", *(item for item in overrides if item != override)])
            raise UserError(name, "a value, which every run needs", "none", fix=fix)


def as_user_error(error: Exception, overrides: list[str]) -> UserError:
    """Convert an error of Hydra about overrides into a UserError with a suggestion."""
    message = str(error)
    if match := re.search(r"Could not find '([^']+)'", message):
        group, _, choice = match[1].rpartition("/")
        return unknown_choice(group, choice)
    if match := re.search(r"Could not override '([^']+)'", message):
        return unknown_key(match[1].split("@")[0], overrides)
    if match := re.search(r"Multiple values for ([\w/]+)", message):
        return UserError(match[1], "one choice", f"two ({message.splitlines()[0]})", fix=f"{match[1]}=... once")
    if "${run_dir}" in message:
        return UserError("run_dir", "the name of a new folder", "null", fix="run_dir=runs/mine")
    if "group override must be a string" in message:
        for key, _, value in (item.partition("=") for item in overrides):
            if key in groups() and value not in groups()[key]:
                return unknown_choice(key, value)
    cause = error.__cause__ or error
    if match := re.search(r"full_key: (\S+)", f"{message}\n{cause}"):
        reason = str(cause).splitlines()[0]
        return UserError(match[1], "a value of the same type as the default", reason, fix=f"leaving out {match[1]}")
    bad = re.search(r"Error parsing override '([^']*)'", message)
    shown = bad[1] if bad else " ".join(overrides)
    return UserError(
        "overrides", "KEY=VALUE pairs", f"{shown} ({str(cause).splitlines()[0]})", fix="rnnkit train --help"
    )


def unknown_choice(group: str, choice: str) -> UserError:
    """The error for an unknown choice, such as `model/cell=gruu`."""
    choices = groups().get(group, [])
    if group.startswith("hydra/"):
        expected = "an installed choice of this Hydra group"
        return UserError(group, expected, repr(choice), fix=f"leaving out {group}={choice}")
    fix = f"{group}={nearest(choice, choices)}" if choices else "rnnkit train --help"
    return UserError(group, f"one of {', '.join(choices) or 'no choices'}", repr(choice), fix=fix)


def unknown_key(key: str, overrides: list[str]) -> UserError:
    """The error for an unknown key or group, such as `optimizer.lrr=1` and `model/cel=gru`."""
    value = next((item.split("=", 1)[1] for item in overrides if item.lstrip("+").split("=")[0] == key), "...")
    usual = defaults(overrides)
    group = key.split(".")[0]
    if group in groups() and group not in usual:
        return _unused_group(group, f"{key}={value}")
    if "/" in key:
        near = nearest_keys(key, groups())
        expected = f"a configuration group such as {', '.join(near or sorted(groups()))}"
    else:
        near = nearest_keys(key, {*keys(usual), *groups()})
        # prefer a group that has the given choice: for `cell=gru`, a group with a `gru`
        near.sort(key=lambda name: value not in groups().get(name, []))
        expected = f"a configuration key such as {', '.join(near)}" if near else "a configuration key"
    fix = f"{near[0]}={value}" if near else f"+{key}={value}, to add a new key"
    return UserError(key, expected, "a key that does not exist", fix=fix)


def _unused_group(group: str, override: str) -> UserError:
    """The error for a key of a group that the configuration does not use.

    Examples are `output=point` and `model/pooling=max` in a task without that group, and `averaging.decay=0.9` where
    no averaging is chosen.
    """
    owner, _, part = group.rpartition("/")
    models = "|".join(_with_default("model", part)) if owner == "model" else ""
    tasks = _with_default("task", rf"/model: ({models})\b" if models else f"/{group}")
    if tasks:
        expected = f"a task with this group: {' or '.join(tasks)}"
        return UserError(group, expected, "another task", fix=f"task={tasks[0]} {override}")
    choices = groups()[group]
    expected = f"one of {', '.join(choices)} to be chosen first"
    return UserError(override.split("=")[0], expected, "none", fix=f"{group}={choices[0]} {override}")


def _with_default(group: str, pattern: str) -> list[str]:
    """The choices of a group whose defaults list has a line that matches the pattern."""
    files = sorted((config_folder() / group).glob("*.yaml"))
    line = pattern if ":" in pattern else f"{pattern}:"
    return [file.stem for file in files if re.search(rf"^ *- {line}", file.read_text(), flags=re.MULTILINE)]


def defaults(overrides: list[str]) -> dict[str, Any]:
    """The configuration with the group choices of the overrides, but without their KEY=VALUE arguments."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    choices = without_null(item for item in overrides if item.split("=")[0] in groups() and "," not in item)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        try:
            composed = compose("train", choices)
        except HydraException:
            composed = compose("train")
    return OmegaConf.to_container(composed)  # type: ignore[return-value]
