"""Where series come from: files, a known data set, a generator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.catalog.origin import Origin
from rnnkit.data.forecasting.format import Format
from rnnkit.data.forecasting.frames import Reading, joined, plain_frame, read_frames
from rnnkit.errors import UserError

SPLITS = ("train", "valid", "test")
COLUMNS = ("time", "id", "target", "past_covariates", "known_covariates", "static_covariates", "categorical")
"""What names columns of a file."""


@dataclass(frozen=True)
class Source:
    """The first of these that is given: one file to be divided, the files of splits, a data set's name, a generator."""

    origin: Origin
    generator: Callable[[], Mapping[str, NDArray[np.float64]]] | None

    def __post_init__(self) -> None:
        if self.generator is None:
            self.origin.require("series", fix="data.path=my.csv, data.dataset=etth1 or data=mackey_glass")

    @cached_property
    def files(self) -> dict[str, Path]:
        """What is read, by "path" or the name of a split; nothing where series are generated."""
        return {name: Path(str(path)) for name, (path, _) in self.origin.found().items()}

    @property
    def name(self) -> str:
        """What is read, for people."""
        generated = "generated" if self.generator is None else type(self.generator).__name__
        return ", ".join(path.name for path in self.files.values()) or generated

    def frames(self, form: Format) -> Reading:
        """The series of all files, each going on where the one before ended."""
        if not self.files:
            assert self.generator is not None
            return _generated(self.generator(), form)
        parts, notes = [], []
        for part, name in enumerate(SPLITS):
            name = "path" if "path" in self.files and part == 0 else name
            if name in self.files:
                argument = "data.dataset" if self.origin.is_known else f"data.{name}"
                frames, form, found = read_frames(self.files[name].expanduser(), argument, form, part)
                parts.append(frames)
                notes += found if len(self.files) == 1 else [f"{self.files[name].name}: {note}" for note in found]
        return Reading(joined(parts), form, notes)


def _generated(series: Mapping[str, NDArray[np.float64]], form: Format) -> Reading:
    for name in COLUMNS:
        if getattr(form, name) and not form.is_resolved:
            got = str(getattr(form, name))
            raise UserError(f"data.{name}", "no columns, since series are generated", got, fix="data.path=my.csv")
    channels = next(iter(series.values())).shape[1]
    target = ["value"] if channels == 1 else [str(number) for number in range(1, channels + 1)]
    frames = [plain_frame(name, values, 0) for name, values in series.items()]
    return Reading(frames, replace(form, target=target, is_resolved=True), [])
