"""Settings that follow from the data where the configuration leaves them open."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from rnnkit.notices import notice

MAX_EPOCHS = 10
"""The number of epochs if the data suggest none."""


def follow(config: DictConfig, data: Any) -> None:
    """Replace what is null by what the data suggest, and print it. Other keys and values stay.

    Data suggest values by full keys, in a method `suggestions`:

    >>> class Data:
    ...     def suggestions(self):
    ...         return {"model.hidden_size": 32, "model.num_layers": 2}
    >>> config = OmegaConf.create({"model": {"hidden_size": None, "num_layers": 1}, "trainer": {"max_epochs": None}})
    >>> follow(config, Data())
    >>> config.model.hidden_size, config.model.num_layers, config.trainer.max_epochs
    (32, 1, 10)
    """
    suggested: dict[str, Any] = getattr(data, "suggestions", dict)()
    followed = {key: value for key, value in suggested.items() if _is_open(config, key)}
    if config.trainer.get("max_steps", -1) == -1 or "trainer.max_epochs" in suggested:
        followed |= {"trainer.max_epochs": MAX_EPOCHS} if _is_open(config, "trainer.max_epochs") else {}
        followed |= {key: value for key, value in suggested.items() if key in followed}
    for key, value in followed.items():
        OmegaConf.update(config, key, value, force_add=False)
    chosen = {key: value for key, value in followed.items() if key in suggested}
    if chosen:
        notice("chosen by the data: " + " ".join(f"{key}={value}" for key, value in chosen.items()))


def _is_open(config: DictConfig, key: str) -> bool:
    group, _, name = key.rpartition(".")
    node = OmegaConf.select(config, group)
    return isinstance(node, DictConfig) and name in node and node[name] is None
