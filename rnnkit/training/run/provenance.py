"""Where a checkpoint comes from: what wrote it, from which data it learned, and whether it fits what is here."""

import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import lightning as L
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from rnnkit import __version__
from rnnkit.errors import UserError
from rnnkit.training.run.templates import same_kind

FORMAT = 2
"""Of checkpoints. 1 is the first one, which told no number; it is read as well."""
LEARNED = ("vocabulary.json", "data.json")
"""What data write of what they learned from the training split, by which the numbers in a model mean something."""
SHOWN = 3
"""Differences that a message names."""


class Provenance(L.Callback):
    """Puts into every checkpoint the version that writes it, and what its data learned, from the run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._learned: dict[str, str] | None = None

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        if self._learned is None:
            self._learned = read_learned(self.folder)
        checkpoint["rnnkit"] = {"version": __version__, "format": FORMAT, "learnt": self._learned}


def read_learned(folder: Path) -> dict[str, str]:
    """The files of `LEARNED` that a folder holds."""
    found = (folder / name for name in LEARNED if (folder / name).exists())
    return {path.name: path.read_text(encoding="utf-8", errors="backslashreplace") for path in found}


def check_format(checkpoint: Mapping[str, Any], path: Path) -> None:
    """UserError for what is no checkpoint of a run, or is in a format that only a later version knows."""
    weights, made = checkpoint.get("state_dict"), checkpoint.get("rnnkit", {"format": 1})
    if not (isinstance(weights, Mapping) and all(_is_weight(*pair) for pair in weights.items())):
        raise UserError("run", "a checkpoint of a run", f"'{path}', which holds no weights", fix="another run folder")
    if not (isinstance(made, Mapping) and isinstance(made.get("format"), int) and _is_learned(made.get("learnt", {}))):
        got = f"'{path}', which does not say what wrote it"
        raise UserError("run", "a checkpoint of a run", got, fix="another run folder")
    if made["format"] > FORMAT:
        raise UserError(
            "run",
            f"a checkpoint that rnnkit {__version__} can read",
            f"'{path}', which rnnkit {made.get('version')} wrote in a format of its own",
            fix=f"pip install 'rnnkit>={made.get('version')}'",
        )


def _is_weight(name: object, value: object) -> bool:
    return isinstance(name, str) and (isinstance(value, Tensor) or name.endswith("_extra_state"))


def _is_learned(texts: object) -> bool:
    """Whether these are texts of the files of `LEARNED`, by name."""
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
    """UserError, naming the first entries, where a run folder does not hold what the data of its checkpoint learned.

    A checkpoint that does not tell is said to be one.
    """
    there = read_learned(folder)
    for name in there if "learned" not in checkpoint.get("rnnkit", {}) else ():
        print(
            f"'{folder / name}' is taken as it is: the checkpoint does not tell what its data learned", file=sys.stderr
        )
    for name, found in _unlike(checkpoint, there):
        got = f"'{folder / name}', where {_listed(found)}"
        raise UserError("run", f"the {name} of the run's own data", got, fix="the file that belongs to the checkpoint")


def check_agreement(data: Any, config: DictConfig, folder: Path) -> None:
    """UserError where data that were restored are not those that config.yaml tells of, by their sizes and facts."""
    if not type(data).__module__.startswith("rnnkit."):  # one's own may know nothing before they are read
        return
    for key, told in (("model", data.model_kwargs), ("task", data.task_kwargs)):
        node = OmegaConf.to_container(config[key])
        assert isinstance(node, dict)
        written = {name: node[name] for name in told if name in node}
        found = list(differences(written, json.loads(json.dumps({name: told[name] for name in written})), key))
        if found:
            got = f"'{folder / 'data.json'}', where {_listed(found)}"
            raise UserError("run", "the data.json that belongs to config.yaml", got, fix="another run folder")


def check_resumed(checkpoint: Mapping[str, Any], path: Path, data: Any, task: nn.Module) -> None:
    """UserError where a run cannot go on from a checkpoint because the data or the model are others than they were."""
    with tempfile.TemporaryDirectory() as place:
        data.save(Path(place))
        here = read_learned(Path(place))
    for name, found in _unlike(checkpoint, here, getattr(data, "upgraded", None)):
        got = f"others: in {name}, {_listed(found)}"
        raise UserError("data", "the data that the run began with", got, fix="the same files, or a new run")
    check_weights(task.state_dict(), checkpoint, path)


def check_weights(expected: Mapping[str, Tensor], checkpoint: Mapping[str, Any], path: Path) -> None:
    """UserError, naming the first of them, where a checkpoint has other weights than a model."""
    found: Mapping[str, Tensor] = checkpoint["state_dict"]
    wrong = [
        f"{name} is {_size(found[name])} in the checkpoint and {_size(weight)} in the model"
        for name, weight in expected.items()
        if isinstance(found.get(name), Tensor) and isinstance(weight, Tensor) and found[name].shape != weight.shape
    ]
    wrong += [
        f"{name} has no numbers in the checkpoint"
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
        got = f"'{path}', where {_listed(wrong)}"
        fix = "the config.yaml that it was trained with"
        raise UserError("run", "a checkpoint of the model in config.yaml", got, fix=fix)


def _unlike(
    checkpoint: Mapping[str, Any], here: Mapping[str, str], upgraded: Callable[[Any], Any] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Names of files of `LEARNED` that are not what they were, and where."""
    for name, text in checkpoint.get("rnnkit", {}).get("learnt", {}).items():
        if here.get(name, text) != text:
            try:
                now, was = json.loads(here[name]), json.loads(text)
            except (ValueError, RecursionError):  # whoever reads it for what it says tells that
                continue
            found = list(differences(was if upgraded is None else upgraded(was), now))
            if found:
                yield name, found


def differences(was: Any, now: Any, place: str = "") -> Iterator[str]:
    """Where two JSON values differ; numbers by more than other processors make of the same sums.

    >>> list(differences({"tokens": ["e", "a", "t"]}, {"tokens": ["e", "o"], "level": "char"}))
    ["tokens[1] is 'o' instead of 'a'", 'tokens has 2 entries instead of 3', "level is 'char' instead of nothing"]
    """
    if isinstance(was, dict) and isinstance(now, dict):
        for name in {**was, **now}:
            inner = f"{place}.{name}" if place else name
            if name in was and name in now:
                yield from differences(was[name], now[name], inner)
            else:
                yield f"{inner} is {_short(now.get(name))} instead of {_short(was.get(name))}"
    elif isinstance(was, list) and isinstance(now, list):
        for index, pair in enumerate(zip(was, now, strict=False)):
            yield from differences(*pair, f"{place}[{index}]")
        if len(was) != len(now):
            yield f"{place} has {len(now):,} entries instead of {len(was):,}"
    elif not _alike(was, now):
        yield f"{place} is {_short(now)} instead of {_short(was)}"


def _alike(was: Any, now: Any) -> bool:
    if isinstance(was, float) and isinstance(now, float):
        return math.isclose(was, now, rel_tol=1e-5, abs_tol=1e-9) or (math.isnan(was) and math.isnan(now))
    return bool(was == now)


def _short(value: Any) -> str:
    shown = "nothing" if value is None else repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


def _size(weight: Tensor) -> str:
    return " x ".join(map(str, weight.shape)) or "a number"


def _listed(found: list[str]) -> str:
    shown = ", ".join(islice(found, SHOWN))
    return shown if len(found) <= SHOWN else f"{shown}, and {len(found) - SHOWN:,} more"
