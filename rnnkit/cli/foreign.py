"""Choices of a folder of somebody else's: they may set what a run computes, not what Hydra does around it.

Hydra's own node of a configuration can run code (callbacks, logging, launchers), set environment variables and say
where files go, and Hydra acts on it before it calls us. So each composition is checked as it is made, those of a sweep
as well: the node must be what our own files and the command line make of it without the folder.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from rnnkit.cli.configuration import config_folder
from rnnkit.cli.typed import typed_values
from rnnkit.errors import UserError

OF_A_JOB = {"runtime": None, "overrides": None, "job": ("override_dirname", "config_name")}
"""Parts of Hydra's node that say which job it is. Hydra fills them in itself, except for choices, which are checked."""


@contextmanager
def checked_compositions() -> Iterator[None]:
    """In the block, Hydra reads no YAML that is not plain, and composes nothing in which a folder has set its node."""
    from hydra.core.plugins import Plugins

    from rnnkit.compat.hydra import ConfigLoaderImpl, SourcesRegistry, file_of

    Plugins.instance()  # it imports its own plugins a second time: only then is the class the one that reads
    files = SourcesRegistry.instance().resolve("file")
    compose, read = ConfigLoaderImpl.load_configuration, files.load_config
    usual: dict[tuple[str, ...], Any] = {}

    def composing(self: Any, *arguments: Any, **options: Any) -> Any:
        config = compose(self, *arguments, **options)
        # the first time Hydra only looks whether to sweep, and composes again before it acts on anything
        acts = options.get("validate_sweep_overrides", True)
        if acts and any(_is_foreign(source) for source in config.hydra.runtime.config_sources):
            overrides = options["overrides"] if "overrides" in options else arguments[1]
            typed = _typed_for_hydra(overrides)
            if typed not in usual:
                usual[typed] = _without_the_folder(typed, compose)
            _check(config, overrides, usual[typed])
        return config

    def reading(self: Any, config_path: str) -> Any:
        _check_plain(file_of(self, config_path))
        return read(self, config_path)

    ConfigLoaderImpl.load_configuration = composing  # type: ignore[method-assign]
    files.load_config = reading  # type: ignore[method-assign]
    try:
        yield
    finally:
        ConfigLoaderImpl.load_configuration = compose  # type: ignore[method-assign]
        files.load_config = read  # type: ignore[method-assign]


def check_options(arguments: Sequence[str]) -> None:
    """Refuse an option of Hydra's with which it unpickles a file."""
    for argument in arguments:
        if argument.startswith("--experimental-rerun"):
            raise UserError(argument, "an option of rnnkit train", "one that is not", fix="rnnkit resume runs/RUN")


def resolve(config: Any) -> None:
    """Put values in the place of every reference, so that what is checked is what will be built."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        OmegaConf.resolve(config)
    except (OmegaConfBaseException, RecursionError) as error:
        got = str(error).partition("\n")[0]
        raise UserError(
            "configuration", "references to keys that are there", got, fix="rnnkit train --cfg job"
        ) from error


def _is_foreign(source: Any) -> bool:
    return source.schema == "file" and Path(source.path) != config_folder()


def _check_plain(path: Path) -> None:
    from rnnkit.plain_yaml import UnfitError, plain_text

    try:
        plain_text(path)
    except UnfitError as error:
        raise UserError("--config-dir", "plain YAML", f"'{path}' ({error})", fix="another folder") from error


def _check(config: Any, overrides: Sequence[str], usual: Any) -> None:
    """UserError where Hydra's node, or the run folder, is not what it would be without the folder's files."""
    from omegaconf import OmegaConf

    here, there = (OmegaConf.to_container(node.hydra, resolve=False) for node in (config, usual))
    key = next(_differences(_of_every_job(here), _of_every_job(there), "hydra"), None)
    if key is not None:
        raise _refusal(key, _at(here, key.split(".")[1:]))
    raw = OmegaConf.to_container(config, resolve=False)
    assert isinstance(raw, dict)
    usual_folder = OmegaConf.to_container(usual, resolve=False)["run_dir"]  # type: ignore[call-overload, index]
    if raw.get("run_dir") not in (usual_folder, typed_values(overrides).get("run_dir")):
        raise _refusal("run_dir", raw.get("run_dir"))
    for group, choice in config.hydra.runtime.choices.items():
        if isinstance(choice, str) and (".." in PurePosixPath(choice).parts or choice.startswith("/")):
            raise _refusal(str(group), choice)


def _typed_for_hydra(overrides: Sequence[str]) -> tuple[str, ...]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return tuple(str(override.input_line) for override in parsed if override.is_hydra_override())


def _without_the_folder(typed: Sequence[str], compose: Any) -> Any:
    """What Hydra composes from our files alone, with the settings of its own that were typed."""
    from hydra.types import RunMode

    from rnnkit.compat.hydra import ConfigLoaderImpl, create_config_search_path

    loader = ConfigLoaderImpl(create_config_search_path(str(config_folder())))
    options = {"run_mode": RunMode.RUN, "validate_sweep_overrides": False}
    return compose(loader, config_name="train", overrides=list(typed), **options)


def _of_every_job(node: Any) -> dict[str, Any]:
    """Hydra's node without what differs from job to job."""
    kept = {name: value for name, value in node.items() if OF_A_JOB.get(name, ()) is not None}
    kept["job"] = {name: value for name, value in node["job"].items() if name not in OF_A_JOB["job"]}  # type: ignore[operator]
    return kept


def _differences(here: Any, there: Any, key: str) -> Iterator[str]:
    """Keys whose values differ."""
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        for name in {**here, **there}:
            if name not in here or name not in there:
                yield f"{key}.{name}"
            else:
                yield from _differences(here[name], there[name], f"{key}.{name}")
    elif here != there or type(here) is not type(there):
        yield key


def _at(node: Any, parts: Sequence[str]) -> Any:
    """The value at a key; None where there is none."""
    for part in parts:
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _refusal(key: str, value: Any) -> UserError:
    expected = "a folder of choices that sets neither the run folder nor anything of Hydra's own"
    by_hand = f", or ++{key}={value} typed, if you want it" if isinstance(value, str | int | float) else ""
    return UserError(key, expected, repr(value), fix=f"another folder{by_hand}")
