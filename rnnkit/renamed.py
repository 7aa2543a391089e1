"""Names of older versions, for the config.yaml of a run and for arguments that a user types."""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
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


_SPLIT = (
    *("valid_fraction", "test_fraction", "valid_groups", "test_groups", "train_steps", "valid_steps", "test_steps"),
    *("valid_from", "test_from", "drop_short"),
)
DATA_KEYS = {
    "header": "table.header",
    "past_covariates": "covariates.past",
    "known_covariates": "covariates.known",
    "static_covariates": "covariates.static",
    "categorical": "covariates.categorical",
    "time_features": "covariates.time_features",
    "time_format": "times.format",
    "time_zone": "times.zone",
    **{key: f"times.{key}" for key in ("frequency", "season", "sort", "duplicates", "fill_gaps")},
    **{key: f"split.{key}" for key in _SPLIT},
    "stride": "windows.stride",
    "eval_stride": "windows.eval_stride",
    "windows_per_series": "windows.per_series",
}
"""Old and new names of keys of data."""

COLUMNS = ("time", "id", "target", *(key for key in DATA_KEYS if key.endswith("covariates")), "categorical")
"""Keys of forecasting data that named columns; without a header, columns were numbered from 1 and are now from 0."""

_OWN_KEYS = ("valid_groups", "windows_per_series", "tag_column", "bptt_steps")
"""Keys by which a node is recognized as data of this package, or of a class of a user that is based on one."""


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
    if not path and isinstance(found.get("data"), dict):
        found["data"] = grouped(found["data"])
    return found


def grouped(node: dict[Any, Any]) -> dict[Any, Any]:
    """Return a node of data whose old keys are in their groups; their number is printed.

    >>> grouped({"_target_": "rnnkit.data.TextData", "valid_fraction": 0.2, "split": {"test_fraction": 0.0}})["split"]
    {'test_fraction': 0.0, 'valid_fraction': 0.2}
    """
    is_own = str(node.get("_target_", "")).startswith("rnnkit.data.") or any(key in node for key in _OWN_KEYS)
    old = [key for key in node if key in DATA_KEYS] if is_own else []
    if not old:
        return node
    # a run of the first version keeps its numbers, which its data.json has as well
    if node.get("header") is False and isinstance(node.get("windows"), dict):
        node = {key: _from_zero(part) if key in COLUMNS else part for key, part in node.items()}
    found = {key: part for key, part in node.items() if key not in old}
    for key in old:
        group, _, name = DATA_KEYS[key].partition(".")
        found[group] = {**found.get(group, {}), name: node[key]}
    _tell(f"rnnkit: {len(old)} keys of data have other names now; data.{old[0]} is now data.{DATA_KEYS[old[0]]}")
    return found


@lru_cache
def _tell(text: str) -> None:
    """Print a notice once, although commands read the config.yaml of a run several times."""
    notice(text)


def _from_zero(columns: Any) -> Any:
    """Return numbers of columns from 0 instead of 1."""
    if isinstance(columns, list):
        return [_from_zero(column) for column in columns]
    is_number = isinstance(columns, int) or (isinstance(columns, str) and columns.isdigit())
    return int(columns) - 1 if is_number else columns


def _present(target: str, node: Mapping[str, Any]) -> str:
    if target == "rnnkit.data.TagData" and node.get("dataset") == "python_names":
        return "rnnkit.data.PythonNames"
    for old, new in PLACES.items():
        if target.startswith(old):
            return new + target.removeprefix(old)
    return CLASSES.get(target, target)


def renewed_overrides(overrides: Sequence[str], data: Collection[str] | None = None) -> list[str]:
    """Return overrides with keys and choices under their present names; one that has changed is printed.

    Args:
        overrides: the arguments.
        data: the names of the configurations of data of this package. If another one is chosen, keys of data are not
            changed. None changes them in any case.

    >>> renewed_overrides(["data=labelled_text", "data.path=a.csv", "schedule=cosine,hold_then_decay", "bad_steps=3"])
    ['data=labeled_text', 'data.path=a.csv', 'schedule=cosine,constant_then_decay', 'max_nonfinite_steps=3']
    >>> renewed_overrides(["schedule.hold=0.5", "~callbacks.picture", "callbacks.picture.windows=0"])
    ['schedule.constant_share=0.5', '~callbacks.forecasts', 'callbacks.forecasts.windows=0']
    >>> renewed_overrides(["data.header=false", "data.target=[1,3]", "+data.stride=4"])
    ['data.table.header=false', 'data.target=[0,2]', '+data.windows.stride=4']
    """
    own = [key.lstrip("+").removesuffix("_target_") for key in (one.partition("=")[0] for one in overrides)]
    own = [prefix for prefix in own if prefix.endswith(".")]
    typed = [override.lstrip("+~").partition("=") for override in overrides]
    chosen = {CHOICES["data"].get(name, name) for key, _, value in typed if key == "data" for name in value.split(",")}
    keys = dict(KEYS)
    if data is None or chosen <= set(data):
        keys |= {f"data.{old}": f"data.{new}" for old, new in DATA_KEYS.items()}
    counts_from_one = ("data.header", "=", "false") in [(key, equals, value.lower()) for key, equals, value in typed]
    found = []
    for override in overrides:
        written, equals, value = override.partition("=")
        key = written.lstrip("+~")
        known = CHOICES.get(key, {})
        values = ",".join(known.get(choice, choice) for choice in value.split(",")) if known else value
        if counts_from_one and key.removeprefix("data.") in COLUMNS:
            values = re.sub(r"(?<![\w.'-])\d+(?![\w.'])", lambda number: str(int(number[0]) - 1), value)
        is_own = any(key.startswith(prefix) and not prefix.startswith("data.") for prefix in own)
        present = written.removesuffix(key) + (key if is_own else _present_key(key, keys)) + equals + values
        if present != override:
            notice(f"rnnkit: {override} is now {present}, which is used")
        found.append(present)
    return found


def _present_key(key: str, keys: Mapping[str, str]) -> str:
    for old, new in keys.items():
        if key == old or key.startswith(f"{old}."):
            return new + key.removeprefix(old)
    return key
