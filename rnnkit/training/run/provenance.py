"""The origin of a checkpoint: its version, what its data learned, and whether it matches the present data and model."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from rnnkit import __version__
from rnnkit.errors import UserError
from rnnkit.notices import notice
from rnnkit.training.run.differences import differences, listed
from rnnkit.training.run.templates import same_kind

FORMAT = 2
"""The format of checkpoints. Format 1, which was not recorded, is read as well."""
LEARNED = ("vocabulary.json", "data.json")
"""The files of what the data learned from the training split, which define the meaning of the numbers in a model."""
_RECORD = "learnt"
"""The key of the contents of these files in a checkpoint."""


class Provenance(L.Callback):
    """Adds to every checkpoint the version that writes it and what its data learned, from the run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._learned: dict[str, str] | None = None

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        if self._learned is None:
            self._learned = read_learned(self.folder)
        checkpoint["rnnkit"] = {"version": __version__, "format": FORMAT, _RECORD: self._learned}


def read_learned(folder: Path) -> dict[str, str]:
    """Return the contents of the files of `LEARNED` in a folder."""
    found = (folder / name for name in LEARNED if (folder / name).exists())
    return {path.name: path.read_text(encoding="utf-8", errors="backslashreplace") for path in found}


def check_format(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Raise UserError if a file is not a checkpoint of a run, or has the format of a later version."""
    weights, made = checkpoint.get("state_dict"), checkpoint.get("rnnkit", {"format": 1})
    if not (isinstance(weights, Mapping) and all(_is_weight(*pair) for pair in weights.items())):
        raise UserError(
            "run",
            "a checkpoint of a run",
            f"'{path}', which holds no weights",
            fix="an undamaged copy of the run folder",
        )
    if not (isinstance(made, Mapping) and isinstance(made.get("format"), int) and _is_learned(made.get(_RECORD, {}))):
        got = f"'{path}', which does not record the version that wrote it"
        raise UserError("run", "a checkpoint of a run", got, fix="an undamaged copy of the run folder")
    if made["format"] > FORMAT:
        raise UserError(
            "run",
            f"a checkpoint that rnnkit {__version__} can read",
            f"'{path}', which rnnkit {made.get('version')} wrote in a newer format",
            fix=f"pip install 'rnnkit>={made.get('version')}'",
        )


def _is_weight(name: object, value: object) -> bool:
    return isinstance(name, str) and (isinstance(value, Tensor) or name.endswith("_extra_state"))


def _is_learned(texts: object) -> bool:
    """Whether a value maps names of files of `LEARNED` to their texts."""
    return isinstance(texts, Mapping) and all(
        name in LEARNED and isinstance(text, str) and _is_json(text) for name, text in texts.items()
    )


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def check_learned(checkpoint: Mapping[str, Any], folder: Path) -> None:
    """Raise UserError, naming the first entries, if a run folder lacks what the data of its checkpoint learned.

    A notice is printed if the checkpoint does not record it.
    """
    there = read_learned(folder)
    for name in there if _RECORD not in checkpoint.get("rnnkit", {}) else ():
        notice(f"'{folder / name}' is not checked: the checkpoint does not record what its data learned")
    for name, found in _unlike(checkpoint, there):
        got = f"'{folder / name}', where {listed(found)}"
        raise UserError("run", f"the {name} of the run's own data", got, fix="the file that belongs to the checkpoint")


def check_agreement(data: Any, config: DictConfig, folder: Path) -> None:
    """Raise UserError if the sizes and facts of restored data are not those in config.yaml."""
    if not type(data).__module__.startswith("rnnkit."):  # a user's data module may have none before it reads the data
        return
    for key, told in (("model", data.model_kwargs), ("task", data.task_kwargs)):
        node = OmegaConf.to_container(config[key])
        assert isinstance(node, dict)
        written = {name: node[name] for name in told if name in node}
        found = list(differences(written, json.loads(json.dumps({name: told[name] for name in written})), key))
        if found:
            got = f"'{folder / 'data.json'}', where {listed(found)}"
            raise UserError(
                "run", "the data.json that belongs to config.yaml", got, fix="an undamaged copy of the run folder"
            )


def check_resumed(checkpoint: Mapping[str, Any], path: Path, data: Any, task: nn.Module) -> None:
    """Raise UserError if a run cannot resume from a checkpoint because the data or the model have changed."""
    with tempfile.TemporaryDirectory() as place:
        data.save(Path(place))
        here = read_learned(Path(place))
    for name, found in _unlike(checkpoint, here, getattr(data, "upgraded", None)):
        got = f"others: in {name}, {listed(found)}"
        raise UserError("data", "the data that the run began with", got, fix="the same files, or a new run")
    check_weights(task.state_dict(), checkpoint, path)


def check_weights(expected: Mapping[str, Tensor], checkpoint: Mapping[str, Any], path: Path) -> None:
    """Raise UserError, naming the first differences, if a checkpoint has other weights than a model."""
    found: Mapping[str, Tensor] = checkpoint["state_dict"]
    wrong = [
        f"{name} is {_size(found[name])} in the checkpoint and {_size(weight)} in the model"
        for name, weight in expected.items()
        if isinstance(found.get(name), Tensor) and isinstance(weight, Tensor) and found[name].shape != weight.shape
    ]
    wrong += [
        f"{name} does not store all its elements in the checkpoint"
        for name in expected.keys() & found.keys()
        if isinstance(found[name], Tensor) and (found[name].is_meta or found[name].layout != torch.strided)
    ]
    wrong += [
        f"{name} holds {found[name].dtype} in the checkpoint and {weight.dtype} in the model"
        for name, weight in expected.items()
        if isinstance(found.get(name), Tensor) and isinstance(weight, Tensor) and not same_kind(found[name], weight)
    ]
    wrong += [f"the checkpoint has no {name}" for name in expected if name not in found]
    wrong += [f"the model has no {name}" for name in found if name not in expected]
    if wrong:
        got = f"'{path}', where {listed(wrong)}"
        fix = "the config.yaml that it was trained with"
        raise UserError("run", "a checkpoint of the model in config.yaml", got, fix=fix)


def _unlike(
    checkpoint: Mapping[str, Any], here: Mapping[str, str], upgraded: Callable[[Any], Any] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Yield the names of files of `LEARNED` that have changed, and their differences."""
    for name, text in checkpoint.get("rnnkit", {}).get(_RECORD, {}).items():
        if here.get(name, text) != text:
            try:
                now, was = json.loads(here[name]), json.loads(text)
            except (ValueError, RecursionError):  # the data module reports an invalid file
                continue
            found = list(differences(was if upgraded is None else upgraded(was), now))
            if found:
                yield name, found


def _size(weight: Tensor) -> str:
    return " x ".join(map(str, weight.shape)) or "a number"
