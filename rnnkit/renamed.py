"""Names of older versions, for the config.yaml of a run and for arguments that a user types."""

from collections.abc import Mapping, Sequence
from typing import Any

from rnnkit.notices import notice

PLACES = {"rnnkit.tasks.outputs.": "rnnkit.models.forecasting.distributions."}
"""Old and new packages of moved classes; a run folder may have the old name."""

CLASSES = {
    "rnnkit.training.hold_then_decay": "rnnkit.training.constant_then_decay",
    "rnnkit.training.ConfusionPicture": "rnnkit.training.ConfusionMatrixFigure",
    "rnnkit.training.ForecastPicture": "rnnkit.training.ForecastFigure",
    "rnnkit.training.DetailsText": "rnnkit.training.ReportText",
}
"""Old and new names of single classes and functions."""

KEYS = {
    "bad_steps": "max_nonfinite_steps",
    "after_bad_steps": "on_nonfinite",
    "foresee_memory": "check_memory",
    "task.rate_steps": "task.lr_reference_steps",
    "schedule.hold": "schedule.constant_share",
    "schedule.times": "schedule.num_decays",
    "schedule.start": "schedule.start_share",
    "schedule.final": "schedule.final_share",
    "callbacks.picture": "callbacks.forecasts",
    "callbacks.details": "callbacks.report",
    "model.cell.time_gap": "model.cell.elapsed_time",
}
"""Old and new keys of a configuration. Keys below a class of a user's own are left as they are."""

CHOICES = {
    "schedule": {"hold_then_decay": "constant_then_decay"},
    "data": {
        "labelled_text": "labeled_text",
        "labelled_series": "labeled_series",
        "labelled_audio": "labeled_audio",
    },
}
"""Old and new names of choices, by config group."""


def renewed(value: Any, path: str = "") -> Any:
    """Return plain values of a configuration with every `_target_` and every key under its present name.

    >>> renewed({"output": {"_target_": "rnnkit.tasks.outputs.Point", "loss": "mse"}})
    {'output': {'_target_': 'rnnkit.models.forecasting.distributions.Point', 'loss': 'mse'}}
    >>> renewed({"task": {"_target_": "rnnkit.tasks.LanguageModeling", "rate_steps": 70}})
    {'task': {'_target_': 'rnnkit.tasks.LanguageModeling', 'lr_reference_steps': 70}}
    """
    if isinstance(value, list):
        return [renewed(part, path) for part in value]
    if not isinstance(value, dict):
        return value
    target = value.get("_target_")
    is_own = isinstance(target, str) and not target.startswith("rnnkit.")
    found: dict[Any, Any] = {}
    for key, part in value.items():
        place = f"{path}.{key}".removeprefix(".")
        present = place if is_own else KEYS.get(place, place)
        found[present.removeprefix(f"{path}.") if present != place else key] = renewed(part, present)
    if isinstance(target, str):
        found["_target_"] = _present(target, found)
    return found


def _present(target: str, node: Mapping[str, Any]) -> str:
    if target == "rnnkit.data.TagData" and node.get("dataset") == "python_names":
        return "rnnkit.data.PythonNames"
    for old, new in PLACES.items():
        if target.startswith(old):
            return new + target.removeprefix(old)
    return CLASSES.get(target, target)


def renewed_overrides(overrides: Sequence[str]) -> list[str]:
    """Return overrides with keys and choices under their present names; one that has changed is printed.

    >>> renewed_overrides(["data=labelled_text", "data.path=a.csv", "schedule=cosine,hold_then_decay", "bad_steps=3"])
    ['data=labeled_text', 'data.path=a.csv', 'schedule=cosine,constant_then_decay', 'max_nonfinite_steps=3']
    >>> renewed_overrides(["schedule.hold=0.5", "~callbacks.picture", "callbacks.picture.windows=0"])
    ['schedule.constant_share=0.5', '~callbacks.forecasts', 'callbacks.forecasts.windows=0']
    """
    own = [key.lstrip("+").removesuffix("_target_") for key in (one.partition("=")[0] for one in overrides)]
    own = [prefix for prefix in own if prefix.endswith(".")]
    found = []
    for override in overrides:
        written, equals, value = override.partition("=")
        key = written.lstrip("+~")
        known = CHOICES.get(key, {})
        values = ",".join(known.get(choice, choice) for choice in value.split(",")) if known else value
        is_own = any(key.startswith(prefix) for prefix in own)
        present = written.removesuffix(key) + (key if is_own else _present_key(key)) + equals + values
        if present != override:
            notice(f"rnnkit: {override} is now {present}, which is used")
        found.append(present)
    return found


def _present_key(key: str) -> str:
    for old, new in KEYS.items():
        if key == old or key.startswith(f"{old}."):
            return new + key.removeprefix(old)
    return key
