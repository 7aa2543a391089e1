"""Where series come from: files, a known data set, a generator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnkit.data import catalog
from rnnkit.data.forecasting.format import Format
from rnnkit.data.forecasting.frames import Frame, joined, plain_frame, read_frames
from rnnkit.errors import UserError

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Source:
    """The first of these that is given: one file to be divided, the files of splits, a data set's name, a generator."""

    path: str | Path | None
    paths: Mapping[str, str | Path]
    dataset: str | None
    generator: Callable[[], Mapping[str, NDArray[np.float64]]] | None

    def __post_init__(self) -> None:
        if self.path and self.paths:
            given = ", ".join(f"data.{name}" for name in self.paths)
            raise UserError("data.path", "either data.path or data.train", f"{given} too", fix="data.path=null")
        if not (self.path or self.paths or self.dataset or self.generator):
            fix = "data.path=my.csv, data.dataset=etth1 or data=mackey_glass"
            raise UserError("data.path", "series to read", "nothing", fix=fix)

    @cached_property
    def files(self) -> dict[str, Path]:
        """What is read, by the name of the argument; nothing where series are generated."""
        if self.path:
            return {"path": Path(self.path)}
        if self.paths:
            return {name: Path(path) for name, path in self.paths.items()}
        return catalog.find(self.dataset) if self.dataset is not None else {}

    def frames(self, form: Format) -> tuple[list[Frame], Format]:
        """The series of all files, each going on where the one before ended; the format, resolved."""
        if not self.files:
            assert self.generator is not None
            return _generated(self.generator(), form)
        named = bool(self.path or self.paths)
        parts = []
        for part, name in enumerate(SPLITS):
            name = "path" if "path" in self.files and part == 0 else name
            if name in self.files:
                argument = f"data.{name}" if named else "data.dataset"
                frames, form = read_frames(self.files[name].expanduser(), argument, form, part)
                parts.append(frames)
        return joined(parts), form


def _generated(series: Mapping[str, NDArray[np.float64]], form: Format) -> tuple[list[Frame], Format]:
    channels = next(iter(series.values())).shape[1]
    target = ["value"] if channels == 1 else [str(number) for number in range(1, channels + 1)]
    frames = [plain_frame(name, values, 0) for name, values in series.items()]
    return frames, replace(form, target=target, is_resolved=True)
