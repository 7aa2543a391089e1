"""The folder in which runs lie, that of their task or `sweeps`, and the name of a run there: when it was started."""

from datetime import datetime
from typing import Any


def register() -> None:
    """Let configurations say `${kind_of_run:}` and `${time_of_run:}`, the same for all runs of a sweep."""
    from omegaconf import OmegaConf

    # to the microsecond: two that are started together, by a script for one, have folders of their own
    name = datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
    OmegaConf.register_new_resolver("kind_of_run", _kind_of_run, replace=True)
    OmegaConf.register_new_resolver("time_of_run", lambda: name, replace=True)


def _kind_of_run(*, _root_: Any) -> str:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    # Hydra asks for the folder of a sweep while its settings are no more than a part of the configuration
    settings = _root_.get("hydra") or HydraConfig.get()
    return "sweeps" if settings.mode == RunMode.MULTIRUN else str(settings.runtime.choices["task"])
