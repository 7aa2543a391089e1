"""References between keys of a configuration, such as ${monitor}."""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from rnnkit.errors import UserError
from rnnkit.training.configuration.monitored import settled_mode

REFERENCE = re.compile(r"\$\{([\w.]+)\}")


def with_mode(config: DictConfig) -> DictConfig:
    """Set `monitor_mode` for nodes that refer to it; if there is none, the problem is reported for the monitor."""
    settled = deepcopy(config)
    with open_dict(settled):
        settled.monitor_mode = settled_mode(config) or "min"
    return settled


def resolved(config: DictConfig) -> dict[str, Any]:
    """Return plain values with all references replaced."""
    try:
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        key = str(getattr(error, "full_key", None) or "configuration")
        reason = str(error).splitlines()[0]
        raise UserError(key, "a value, or a ${key} that exists", reason, fix=f"{key}=...") from error


def references(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield each key whose value refers to another key, and that key."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from references(value, f"{key}.{name}".lstrip("."))
    elif isinstance(node, str) and (match := REFERENCE.fullmatch(node)):
        yield key, match[1]


def at_its_source(problem: UserError, sources: Mapping[str, str]) -> UserError:
    """Return the problem under the key that the user sets, if the key refers to another one."""
    key = problem.argument
    for taken, source in sources.items():
        if key == taken or key.startswith(f"{taken}."):
            named = problem.renamed(source + key.removeprefix(taken))
            return at_its_source(named, sources)
    return problem
