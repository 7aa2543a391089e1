"""A run folder from anybody: its configuration as plain values, and no way out of it for what is written."""

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
"""Of a configuration, what every command builds."""
WRITTEN = ("", "checkpoints")
"""The folders of a run that are written to."""


def read_config(path: Path) -> DictConfig:
    """The config.yaml of a run, as plain values; nothing in it is looked up, built or resolved.

    Raises UserError for one that is damaged, too large, or refers to something: a run writes down values alone.
    """
    try:
        config = OmegaConf.create(plain_text(path))
        plain = OmegaConf.to_container(config)
        reference = _reference(plain)
    except (OSError, ValueError, OmegaConfBaseException, YAMLError, RecursionError) as error:
        raise UserError("run", "a whole config.yaml", f"'{path}' ({error})", fix="another run") from error
    if reference is not None:
        got = f"{reference} in '{path}'"
        raise UserError("run", "a config.yaml of values, as a run writes it", got, fix="the value in its place")
    if not (isinstance(config, DictConfig) and all(OmegaConf.is_dict(config.get(name)) for name in PARTS)):
        got = f"'{path}', which lacks them"
        raise UserError("run", "a config.yaml with data, model and task", got, fix="another run")
    renamed: DictConfig = OmegaConf.create(renewed(plain))
    return renamed


def check_named_files(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Refuse a checkpoint in which a callback remembers a file by a way around: callbacks delete what they replaced.

    Lightning's own rule, that the file is below the callback's folder, is one of names, which `..` gets past.

    Raises UserError.
    """
    states = checkpoint.get("callbacks", {})
    for state in states.values() if isinstance(states, Mapping) else ():
        named = [value for key, value in state.items() if str(key).endswith("_path")] if isinstance(state, dict) else []
        models = state.get("best_k_models") if isinstance(state, dict) else None
        for name in [*named, *(models if isinstance(models, Mapping) else ())]:
            if isinstance(name, str) and (".." in Path(name).parts or "://" in name):
                raise UserError("run", "a checkpoint of this run", f"'{path}', which names {name}", fix="another run")


def _reference(value: object) -> str | None:
    """The first `${...}` among plain values and their keys, which would be replaced by something else."""
    if isinstance(value, str):
        return value if "${" in value else None
    parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return next((found for part in parts if (found := _reference(part)) is not None), None)


def check_files(folder: Path, *, written: bool) -> None:
    """Refuse a run folder with a pipe or a device in it and, before it is `written` to, with a link to elsewhere.

    Raises UserError naming the first.
    """
    for place in WRITTEN:
        try:
            entries = sorted(os.scandir(folder / place), key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        except OSError:  # whoever writes there says what is wrong
            return
        for entry in entries:
            inside = Path(entry.path).resolve().is_relative_to(folder.resolve())
            is_odd = Path(entry.path).exists() and not (entry.is_file() or entry.is_dir())  # reading it may never end
            if is_odd or (written and not inside):
                got = f"'{entry.path}'" + (f", a link to {os.readlink(entry.path)}" if entry.is_symlink() else "")
                raise UserError("run_dir", "a run folder of its own files", got, fix=f"rm '{entry.path}'")
