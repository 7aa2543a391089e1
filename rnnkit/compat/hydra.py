"""The private names of Hydra that rnnkit uses. `UserError` names the releases that have them."""

from pathlib import Path
from typing import Any

from rnnkit.compat.lookup import look_up, reads

_NAMES = {
    "ConfigLoaderImpl": "hydra._internal.config_loader_impl.ConfigLoaderImpl",
    "SourcesRegistry": "hydra._internal.sources_registry.SourcesRegistry",
    "create_config_search_path": "hydra._internal.utils.create_config_search_path",
}


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'rnnkit.compat.hydra' has no attribute {name!r}")
    return look_up("hydra-core", _NAMES[name])


@reads("hydra-core", "ConfigSource._normalize_file_name")
def file_of(source: Any, config_path: str) -> Path:
    """Return the file from which a source of configurations reads one."""
    return Path(source.path, source._normalize_file_name(config_path))
