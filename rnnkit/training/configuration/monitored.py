"""The monitor: a metric of the task, and its direction of improvement."""

import fnmatch
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import lightning as L
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from rnnkit.errors import UserError
from rnnkit.tasks import Task
from rnnkit.training.configuration.construct import locate

MODES = ("min", "max")
PREFIX = "val/"


def settled_mode(config: DictConfig) -> str | None:
    """Return `monitor_mode` or, if it is null, the direction that the task states; None if there is neither."""
    mode: str | None = config.get("monitor_mode")
    metrics = _stated(config) or {}
    return mode if mode is not None else metrics.get(_find(metrics, config.get("monitor")) or "")


def monitor_problems(config: DictConfig) -> Iterator[UserError]:
    """Yield the problems of the monitor of the run, and of its schedule, averaging and Lightning callbacks.

    A user's class may log metrics that it does not state. A monitor that only such a class can log needs a mode.
    """
    yield from _problems(config, "monitor", config.get("monitor"), "monitor_mode", config.get("monitor_mode"))
    nodes = {group: config.get(group) for group in ("schedule", "averaging")}
    callbacks = config.get("callbacks")
    if isinstance(callbacks, DictConfig):
        nodes |= {f"callbacks.{name!s}": node for name, node in callbacks.items() if _is_by_lightning(node)}
    for key, node in nodes.items():
        if isinstance(node, DictConfig) and node.get("monitor") is not None:
            yield from _problems(config, f"{key}.monitor", node.monitor, f"{key}.mode", node.get("mode", "min"))


def check_measured(config: DictConfig, task: Task) -> None:
    """Check that the task computes the monitor with the present data and settings."""
    names = [PREFIX + name for name in task.metric_names()]
    if config.monitor not in names and _find(task.metrics, config.monitor):
        raise _not_measured("monitor", config.monitor, names, "this task, with these data and settings,")


class MonitorIsMeasured(L.Callback):
    """Checks at the first validation that the monitor has been logged, which a user's class may fail to do."""

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        names = [name for name in trainer.callback_metrics if name.startswith(PREFIX)]
        if not trainer.sanity_checking and self.monitor not in names:
            raise _not_measured("monitor", self.monitor, names, "the first validation")


def _problems(config: DictConfig, key: str, monitor: Any, mode_key: str, mode: Any) -> Iterator[UserError]:
    metrics = _stated(config)
    if metrics is None or not isinstance(monitor, str):  # the schema reports it
        return
    stated = _find(metrics, monitor)
    if stated is None:
        if mode in MODES and monitor.startswith(PREFIX) and _has_classes_of_the_users(config):
            return
        names = [PREFIX + name for name in metrics]
        if names:
            yield _not_measured(key, monitor, names, str(config.task._target_))
        else:
            got = f"null, for {monitor}, whose mode {config.task._target_} does not state"
            yield UserError(mode_key, "min or max", got, fix=f"{mode_key}=min")
        return
    right = metrics[stated]
    if right is None and mode is None:
        got = f"null, for {monitor}, for which neither low nor high is better"
        yield UserError(mode_key, "min or max", got, fix=f"{mode_key}=max")
    elif right is not None and mode in MODES and mode != right:
        better = "lower" if right == "min" else "higher"
        got = f"{mode}, which would keep the worst"
        yield UserError(mode_key, f"{right}: {monitor} is better {better}", got, fix=f"{mode_key}={right}")


def _not_measured(key: str, monitor: str, names: Collection[str], who: str) -> UserError:
    near = [*get_close_matches(monitor, names, n=1, cutoff=0.3), f"{PREFIX}loss"][0]
    fix = f"{key}={near.replace('*', '1')}"
    return UserError(key, f"a metric that {who} measures: {', '.join(names)}", f"'{monitor}'", fix=fix)


def _stated(config: DictConfig) -> Mapping[str, str | None] | None:
    """Return the metrics that the class of the task states; None for another class, which the schema reports."""
    try:
        task = locate("task", config.task._target_)
    except (UserError, OmegaConfBaseException):
        return None
    return getattr(task, "metrics", None)


def _find(metrics: Mapping[str, Any], monitor: Any) -> str | None:
    """Return the name or the pattern under which a monitor is stated."""
    if not isinstance(monitor, str) or not monitor.startswith(PREFIX):
        return None
    name = monitor.removeprefix(PREFIX)
    return next((pattern for pattern in metrics if fnmatch.fnmatchcase(name, pattern)), None)


def _has_classes_of_the_users(config: DictConfig) -> bool:
    callbacks = config.get("callbacks")
    nodes = [config.get("task"), *(callbacks.values() if isinstance(callbacks, DictConfig) else ())]
    targets = [str(node.get("_target_", "rnnkit.")) for node in nodes if isinstance(node, DictConfig)]
    return not all(target.startswith(("rnnkit.", "lightning.")) for target in targets)


def _is_by_lightning(node: Any) -> bool:
    return isinstance(node, DictConfig) and str(node.get("_target_")).startswith("lightning.")
