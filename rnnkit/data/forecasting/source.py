"""Sources of series: files, a named data set, or a generator."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.catalog.origin import Origin
from rnnkit.data.forecasting.format import Format
from rnnkit.data.forecasting.frame import plain_frame
from rnnkit.data.forecasting.frames import Reading, read_frames
from rnnkit.data.forecasting.joining import joined
from rnnkit.data.io.sources import Paths
from rnnkit.errors import UserError

SPLITS = ("train", "valid", "test")
COLUMNS = {
    "time": "data.time",
    "id": "data.id",
    "target": "data.target",
    "past_covariates": "data.covariates.past",
    "known_covariates": "data.covariates.known",
    "static_covariates": "data.covariates.static",
    "categorical": "data.covariates.categorical",
}
"""The arguments that name columns of a file."""


@dataclass(frozen=True)
class Source:
    """The source of series: the first that is given of a file to divide, files of splits, a data set, a generator."""

    origin: Origin
    generator: Callable[[], Mapping[str, NDArray[np.float64]]] | None

    def __post_init__(self) -> None:
        if self.generator is None:
            self.origin.require("series", fix="data.path=my.csv, data.dataset=etth1 or data=mackey_glass")

    @cached_property
    def files(self) -> dict[str, Paths]:
        """The files, by "path" or the name of a split; empty for a generator."""
        return {name: paths for name, (paths, _) in self.origin.found().items()}

    @property
    def name(self) -> str:
        """The name of the source, for messages."""
        generated = "generated" if self.generator is None else type(self.generator).__name__
        return ", ".join(map(_name, self.files.values())) or generated

    def frames(self, form: Format) -> Reading:
        """Read the series of all files, where each file continues the one before."""
        if not self.files:
            assert self.generator is not None
            return _generated(self.generator(), form)
        parts, notes = [], []
        for part, name in enumerate(SPLITS):
            name = "path" if "path" in self.files and part == 0 else name
            if name in self.files:
                argument = "data.dataset" if self.origin.is_known else f"data.{name}"
                frames, form, found = read_frames(self.files[name], argument, form, part)
                parts.append(frames)
                notes += found if len(self.files) == 1 else [f"{_name(self.files[name])}: {note}" for note in found]
        return Reading(joined(parts), form, notes)


def _name(paths: Paths) -> str:
    several = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    return ", ".join(Path(path).name for path in several)


def _generated(series: Mapping[str, NDArray[np.float64]], form: Format) -> Reading:
    for name, argument in COLUMNS.items():
        if getattr(form, name) and not form.is_resolved:
            got = str(getattr(form, name))
            raise UserError(argument, "no columns, because the series are generated", got, fix="data.path=my.csv")
    channels = next(iter(series.values())).shape[1]
    target = ["value"] if channels == 1 else [str(number) for number in range(1, channels + 1)]
    frames = [plain_frame(name, values, 0) for name, values in series.items()]
    return Reading(frames, replace(form, target=target, is_resolved=True), [])
