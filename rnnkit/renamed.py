"""What older versions called things: in the config.yaml of a run, and in what a user still types."""

from collections.abc import Mapping, Sequence
from typing import Any

PLACES = {"rnnkit.tasks.outputs.": "rnnkit.models.forecasting.distributions."}
"""Packages that classes have moved from and to; the first version of a name is what a run folder may still hold."""

CHOICES = {
    "data": {
        "labelled_text": "labeled_text",
        "labelled_series": "labeled_series",
        "labelled_audio": "labeled_audio",
    }
}
"""By config group, the choices that have another name now."""


def renewed(value: Any) -> Any:
    """Plain values of a configuration with every `_target_` by its present name.

    >>> renewed({"output": {"_target_": "rnnkit.tasks.outputs.Point", "loss": "mse"}})
    {'output': {'_target_': 'rnnkit.models.forecasting.distributions.Point', 'loss': 'mse'}}
    """
    if isinstance(value, list):
        return [renewed(part) for part in value]
    if not isinstance(value, dict):
        return value
    found = {key: renewed(part) for key, part in value.items()}
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
    return target


def renewed_choices(overrides: Sequence[str]) -> list[str]:
    """Overrides with the choices of groups by their present names; a line is printed for each that is not.

    >>> renewed_choices(["data=labelled_text", "data.path=a.csv"])
    data=labelled_text is now called data=labeled_text
    ['data=labeled_text', 'data.path=a.csv']
    """
    found = []
    for override in overrides:
        group, _, choice = override.partition("=")
        name = CHOICES.get(group, {}).get(choice)
        if name is not None:
            print(f"{override} is now called {group}={name}")
        found.append(override if name is None else f"{group}={name}")
    return found
