"""The name of the folder in which runs lie: that of their task, or `sweeps` for those of a sweep."""

from typing import Any


def register() -> None:
    """Let configurations say `${kind_of_run:}`."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("kind_of_run", _kind_of_run, replace=True)


def _kind_of_run(*, _root_: Any) -> str:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    # Hydra asks for the folder of a sweep while its settings are no more than a part of the configuration
    settings = _root_.get("hydra") or HydraConfig.get()
    return "sweeps" if settings.mode == RunMode.MULTIRUN else str(settings.runtime.choices["task"])
