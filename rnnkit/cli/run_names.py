"""Resolvers for the default run folder: the task's folder or `sweeps`, and the start time of the run."""

from datetime import datetime
from typing import Any


def register() -> None:
    """Register the resolvers `${kind_of_run:}` and `${time_of_run:}`. Both are equal for all runs of a sweep."""
    from omegaconf import OmegaConf

    # microseconds, so that runs that a script starts at the same time get separate folders
    name = datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
    OmegaConf.register_new_resolver("kind_of_run", _kind_of_run, replace=True)
    OmegaConf.register_new_resolver("time_of_run", lambda: name, replace=True)


def _kind_of_run(*, _root_: Any) -> str:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    # Hydra resolves the folder of a sweep while its settings are still a part of the configuration
    settings = _root_.get("hydra") or HydraConfig.get()
    return "sweeps" if settings.mode == RunMode.MULTIRUN else str(settings.runtime.choices["task"])
