"""Names of older versions, for the config.yaml of a run and for arguments that a user types."""

from collections.abc import Mapping, Sequence
from typing import Any

from rnnkit.notices import notice

PLACES = {"rnnkit.tasks.outputs.": "rnnkit.models.forecasting.distributions."}
"""Old and new packages of moved classes; a run folder may have the old name."""

CLASSES = {
    "rnnkit.training.hold_then_decay": "rnnkit.training.constant_then_decay",
}
"""Old and new names of single classes and functions."""

KEYS = {
    "bad_steps": "max_nonfinite_steps",
    "after_bad_steps": "on_nonfinite",
    "foresee_memory": "check_memory",
}
"""Old and new names of keys at the top level of a configuration."""

CHOICES = {
    "schedule": {"hold_then_decay": "constant_then_decay"},
    "data": {
        "labelled_text": "labeled_text",
        "labelled_series": "labeled_series",
        "labelled_audio": "labeled_audio",
    },
}
"""Old and new names of choices, by config group."""


def renewed(value: Any) -> Any:
    """Return plain values of a configuration with every `_target_` under its present name.

    >>> renewed({"output": {"_target_": "rnnkit.tasks.outputs.Point", "loss": "mse"}})
    {'output': {'_target_': 'rnnkit.models.forecasting.distributions.Point', 'loss': 'mse'}}
    """
    if isinstance(value, list):
        return [renewed(part) for part in value]
    if not isinstance(value, dict):
        return value
    is_whole = "task" in value and "data" in value
    found: dict[Any, Any] = {KEYS.get(key, key) if is_whole else key: renewed(part) for key, part in value.items()}
    target = found.get("_target_")
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
    """
    found = []
    for override in overrides:
        written, equals, value = override.partition("=")
        key = written.lstrip("+~")
        known = CHOICES.get(key, {})
        values = ",".join(known.get(choice, choice) for choice in value.split(",")) if known else value
        present = written.removesuffix(key) + KEYS.get(key, key) + equals + values
        if present != override:
            notice(f"rnnkit: {override} is now {present}, which is used")
        found.append(present)
    return found
