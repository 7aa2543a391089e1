"""Checks of configuration files from a foreign `--config-dir`.

Such files may change what a run computes, but not the `hydra` node. The `hydra` node can run code (callbacks, logging,
launchers), set environment variables and choose output folders, and Hydra acts on it before it calls us. Therefore
every composition is checked, including those of a sweep: the node must equal the one composed without the folder.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from rnnkit.cli.configuration import config_folder
from rnnkit.cli.typed import typed_values
from rnnkit.errors import UserError

OF_A_JOB = {"runtime": None, "overrides": None, "job": ("override_dirname", "config_name")}
"""Keys of the `hydra` node that describe the job. Hydra sets them itself; the choices among them are checked."""


@contextmanager
def checked_compositions() -> Iterator[None]:
    """Make Hydra reject YAML with tags and compositions in which a foreign folder changes the `hydra` node."""
    from hydra.core.plugins import Plugins
    from omegaconf import OmegaConf

    from rnnkit.compat.hydra import ConfigLoaderImpl, SourcesRegistry, file_of

    Plugins.instance()  # it imports its plugins again; only then is this the class that reads
    files = SourcesRegistry.instance().resolve("file")
    compose, read = ConfigLoaderImpl.load_configuration, files.load_config
    usual: dict[tuple[str, ...], Any] = {}

    def composing(self: Any, *arguments: Any, **options: Any) -> Any:
        overrides = options["overrides"] if "overrides" in options else arguments[1]
        # the first composition only decides whether to sweep; Hydra composes again before it acts
        acts = options.get("validate_sweep_overrides", True)
        if not acts and not any("hydra" in item for item in overrides):
            return OmegaConf.create({"hydra": {"mode": None, "runtime": {}}})  # then the option --multirun decides
        config = compose(self, *arguments, **options)
        if acts and any(_is_foreign(source) for source in config.hydra.runtime.config_sources):
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
    """Raise UserError for the option of Hydra that unpickles a file."""
    for argument in arguments:
        if argument.startswith("--experimental-rerun"):
            raise UserError(argument, "an option of rnnkit train", "one that is not", fix="rnnkit resume runs/RUN")


def resolve(config: Any) -> None:
    """Resolve all references, so that the checked values are the values that are built."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        OmegaConf.resolve(config)
    except (OmegaConfBaseException, RecursionError) as error:
        got = str(error).partition("\n")[0]
        raise UserError("configuration", "references to existing keys", got, fix="rnnkit train --cfg job") from error


def _is_foreign(source: Any) -> bool:
    return source.schema == "file" and Path(source.path) != config_folder()


def _check_plain(path: Path) -> None:
    from rnnkit.plain_yaml import UnfitError, plain_text

    try:
        plain_text(path)
    except UnfitError as error:
        raise UserError("--config-dir", "plain YAML", f"'{path}' ({error})", fix="another folder") from error


def _check(config: Any, overrides: Sequence[str], usual: Any) -> None:
    """Raise UserError if the foreign files change the `hydra` node or the run folder."""
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
    """The configuration composed from our files alone, with the `hydra` settings of the command line."""
    from hydra.types import RunMode

    from rnnkit.compat.hydra import ConfigLoaderImpl, create_config_search_path

    loader = ConfigLoaderImpl(create_config_search_path(str(config_folder())))
    options = {"run_mode": RunMode.RUN, "validate_sweep_overrides": False}
    return compose(loader, config_name="train", overrides=list(typed), **options)


def _of_every_job(node: Any) -> dict[str, Any]:
    """The `hydra` node without the keys that differ between jobs."""
    kept = {name: value for name, value in node.items() if OF_A_JOB.get(name, ()) is not None}
    kept["job"] = {name: value for name, value in node["job"].items() if name not in OF_A_JOB["job"]}  # type: ignore[operator]
    return kept


def _differences(here: Any, there: Any, key: str) -> Iterator[str]:
    """The keys whose values differ."""
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        for name in {**here, **there}:
            if name not in here or name not in there:
                yield f"{key}.{name}"
            else:
                yield from _differences(here[name], there[name], f"{key}.{name}")
    elif here != there or type(here) is not type(there):
        yield key


def _at(node: Any, parts: Sequence[str]) -> Any:
    """The value at a key; None if the key does not exist."""
    for part in parts:
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def _refusal(key: str, value: Any) -> UserError:
    expected = "a configuration folder that sets neither the run folder nor a key of Hydra"
    by_hand = f", or ++{key}={value} on the command line" if isinstance(value, str | int | float) else ""
    return UserError(key, expected, repr(value), fix=f"another folder{by_hand}")
