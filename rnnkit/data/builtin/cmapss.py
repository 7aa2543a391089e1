"""C-MAPSS: the remaining useful life of turbofan engines."""

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import MinLen
from numpy.typing import NDArray

from rnnkit.data.io.sources import Paths, read
from rnnkit.data.io.standard_input import stdin_lines
from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.numbers import numbers
from rnnkit.data.labeled.series import SeriesLabelData
from rnnkit.errors import UserError
from rnnkit.ranges import PositiveInt

COLUMNS = 26
SENSORS = 21


class CMAPSSData(SeriesLabelData):
    """Turbofan engines of Saxena et al. 2008. Each engine is a series with its remaining life at every step.

    A row of the files is a flight: index of the engine, index of the flight, 3 settings and 21 measurements. Training
    engines run until they fail. With T flights, the remaining life at flight t is T - t, capped at `cap`, because it
    cannot be predicted early on (Heimes 2008). The validation split consists of whole engines. Test engines are
    recorded up to some flight before their failure. The file `remaining` has their remaining lives at that flight, not
    capped, and only that step has a target.

    Args:
        remaining: the file with the remaining lives of the test engines, one per line. None uses the file of `dataset`,
            or RUL_FD001.txt next to test_FD001.txt.
        cap: the largest remaining life of a training target, in flights; None for no cap.
        sensors: the measurements to read, from 1. None reads all measurements and the settings.
        others: see `SeriesLabelData`. The options for the layout of tables have no effect.

    Raises:
        UserError: a row does not have 26 numbers, the flights are not consecutive, the number of remaining lives
            differs from the number of engines, or a sensor does not exist. The message has the line.
    """

    def __init__(
        self,
        *,
        remaining: str | Path | None = None,
        cap: PositiveInt | None = 125,
        sensors: Annotated[Sequence[PositiveInt], MinLen(1)] | None = None,
        **others: Any,
    ) -> None:
        super().__init__(**{"target": "curve", **others})
        if self.target != "curve":
            raise UserError("data.target", "curve for C-MAPSS", repr(self.target), fix="data.target=curve")
        if cap is not None and cap < 1:
            raise UserError("data.cap", "1 or more, or null", str(cap), fix="data.cap=125")
        if sensors is not None and (not sensors or not set(sensors) <= set(range(1, SENSORS + 1))):
            expected = f"some of the measurements 1 to {SENSORS}, or null"
            raise UserError("data.sensors", expected, str(list(sensors)), fix="data.sensors=null")
        self.remaining = remaining
        self.cap = cap
        self._read_columns = list(range(2, COLUMNS)) if sensors is None else [4 + number for number in sensors]

    def read_files(self, part: str, paths: Paths, argument: str) -> list[Labeled]:
        engines = list(self._engines(paths, argument))
        if part == "test":
            left = self._left(paths, len(engines))
            return [
                engine._replace(target=_at_the_end(len(engine.inputs), value))
                for engine, value in zip(engines, left, strict=True)
            ]
        return [engine._replace(target=self._capped(len(engine.inputs))) for engine in engines]

    def read_inputs(self, path: Path | None) -> Iterator[Labeled]:
        engines = (
            self._engines(path, "--input")
            if path is not None
            else iter(_engines("".join(stdin_lines()), "standard input", "--input", self._read_columns))
        )
        return (engine._replace(inputs=self.encode_inputs(engine)) for engine in engines)

    def _engines(self, paths: Paths, argument: str) -> Iterator[Labeled]:
        for document in read(paths, argument=argument):
            yield from _engines(document.text, document.name, argument, self._read_columns)

    def _capped(self, steps: int) -> NDArray[np.float64]:
        left_T = np.arange(steps - 1, -1, -1, dtype=np.float64)
        return left_T if self.cap is None else np.minimum(left_T, self.cap)

    def _left(self, test: Paths, engines: int) -> NDArray[np.float64]:
        found = self.origin.found()
        paths = self.remaining or found.get("remaining", (None, ""))[0] or _beside(test)
        if paths is None:
            got = f"none next to {test}"
            fix = "data.remaining=RUL_FD001.txt"
            raise UserError("data.remaining", "the remaining lives of the test engines", got, fix=fix)
        (document,) = read(paths, argument="data.remaining")
        cells = document.text.split()
        if len(cells) != engines:
            got = f"{len(cells)} in {document.name}"
            raise UserError(
                "data.remaining",
                f"{engines} numbers, one for each engine",
                got,
                fix="the file that belongs to this test split",
            )
        return numbers(cells, lambda index: f"{document.name} line {index + 1}", "data.remaining")


def _beside(test: Paths) -> Path | None:
    """The file of remaining lives next to test_FD001.txt, with the matching name."""
    if not isinstance(test, str | os.PathLike) or "test_" not in Path(test).name:
        return None
    name = Path(test).name.replace("test_", "RUL_").removesuffix(".gz")
    return next((path for packed in ("", ".gz") if (path := Path(test).with_name(name + packed)).is_file()), None)


def _at_the_end(steps: int, value: float) -> NDArray[np.float64]:
    target_T = np.full(steps, np.nan)
    target_T[-1] = value
    return target_T


def _engines(text: str, name: str, argument: str, columns: Sequence[int]) -> list[Labeled]:
    rows = [(number, line.split()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    wrong = next(((number, row) for number, row in rows if len(row) != COLUMNS), None)
    if wrong is not None or not rows:
        got = f"{len(wrong[1])} at {name} line {wrong[0]}" if wrong else f"no row in {name}"
        raise UserError(
            argument, f"{COLUMNS} numbers in every row", got, fix=f"{argument}=train_FD001.txt or a similar file"
        )
    flat = [cell for _, row in rows for cell in row]
    values_NI = numbers(flat, lambda index: f"{name} line {rows[index // COLUMNS][0]}", argument).reshape(-1, COLUMNS)
    starts = [0, *(np.flatnonzero(np.diff(values_NI[:, 0])) + 1).tolist(), len(rows)]
    engines = []
    for start, end in pairwise(starts):
        if not np.array_equal(values_NI[start:end, 1], np.arange(1, end - start + 1)):
            got = f"others for the engine at {name} line {rows[start][0]}"
            raise UserError(argument, "flights 1, 2, 3, ... of every engine", got, fix="the rows in order")
        unit = str(int(values_NI[start, 0]))
        engines.append(
            Labeled(values_NI[start:end, columns].astype(np.float64), None, unit, f"{name} line {rows[start][0]}")
        )
    return engines
