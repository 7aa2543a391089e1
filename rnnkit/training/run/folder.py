"""Checks of a run folder from elsewhere: its configuration has values only, and nothing is written outside of it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from rnnkit.errors import UserError
from rnnkit.plain_yaml import plain_text
from rnnkit.renamed import renewed

PARTS = ("task", "model", "data")
"""The parts of a configuration that every command builds."""
WRITTEN = ("", "checkpoints")
"""The folders of a run that commands write to."""


def read_config(path: Path) -> DictConfig:
    """Return the config.yaml of a run as plain values; nothing in it is imported, built or resolved.

    Raises:
        UserError: if it is damaged, too large, or has references: a run writes values only.
    """
    try:
        config = OmegaConf.create(plain_text(path))
        plain = OmegaConf.to_container(config)
        reference = _reference(plain)
    except (OSError, ValueError, OmegaConfBaseException, YAMLError, RecursionError) as error:
        raise UserError(
            "run", "an undamaged config.yaml", f"'{path}' ({error})", fix="an undamaged copy of the run folder"
        ) from error
    if reference is not None:
        got = f"{reference} in '{path}'"
        raise UserError("run", "a config.yaml with values only, as a run writes it", got, fix="the value in its place")
    if not (isinstance(config, DictConfig) and all(OmegaConf.is_dict(config.get(name)) for name in PARTS)):
        got = f"'{path}', which lacks them"
        raise UserError(
            "run", "a config.yaml with data, model and task", got, fix="an undamaged copy of the run folder"
        )
    renamed: DictConfig = OmegaConf.create(renewed(plain))
    return renamed


def check_named_files(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Check that callbacks name files in their folder only: they delete the files that they replace.

    Lightning's own check compares names, which `..` gets around.

    Raises:
        UserError: naming the file.
    """
    states = checkpoint.get("callbacks", {})
    for state in states.values() if isinstance(states, Mapping) else ():
        named = [value for key, value in state.items() if str(key).endswith("_path")] if isinstance(state, dict) else []
        models = state.get("best_k_models") if isinstance(state, dict) else None
        for name in [*named, *(models if isinstance(models, Mapping) else ())]:
            if isinstance(name, str) and (".." in Path(name).parts or "://" in name):
                raise UserError(
                    "run",
                    "a checkpoint of this run",
                    f"'{path}', which names {name}",
                    fix="an undamaged copy of the run folder",
                )


def _reference(value: object) -> str | None:
    """Return the first `${...}` in plain values and their keys, which would be replaced."""
    if isinstance(value, str):
        return value if "${" in value else None
    parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return next((found for part in parts if (found := _reference(part)) is not None), None)


def check_files(folder: Path, *, written: bool) -> None:
    """Check a run folder for pipes and devices and, if it is to be `written` to, for links to places outside of it.

    Raises:
        UserError: naming the first one.
    """
    for place in WRITTEN:
        try:
            entries = sorted(os.scandir(folder / place), key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        except OSError:  # writing there raises its own error
            return
        for entry in entries:
            inside = Path(entry.path).resolve().is_relative_to(folder.resolve())
            is_odd = Path(entry.path).exists() and not (entry.is_file() or entry.is_dir())  # reading it may never end
            if is_odd or (written and not inside):
                got = f"'{entry.path}'" + (f", a link to {os.readlink(entry.path)}" if entry.is_symlink() else "")
                raise UserError("run_dir", "a run folder of its own files", got, fix=f"rm '{entry.path}'")
