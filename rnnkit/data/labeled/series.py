"""The data module for labeled series."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from rnnkit.data.io.sources import Paths, files, read, read_bytes
from rnnkit.data.io.standard_input import stdin_lines
from rnnkit.data.io.tables.format import FORMATS, TableFormat, suffix_of
from rnnkit.data.io.tables.positions import Column
from rnnkit.data.io.tables.source import ENCODING
from rnnkit.data.labeled.arrays import read_npz
from rnnkit.data.labeled.base import LabeledData
from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.long import read_long
from rnnkit.data.labeled.quantities import Curve, Numbers
from rnnkit.data.labeled.standardize import LearnedChannels, Standardize
from rnnkit.data.labeled.ts import read_ts
from rnnkit.data.labeled.wide import read_wide
from rnnkit.errors import UserError
from rnnkit.nested import nested
from rnnkit.ranges import PositiveInt
from rnnkit.structure import check

LAYOUTS = ("long", "wide")


class Learned(LearnedChannels):
    """The learned properties of the inputs, as in the file."""

    steps: PositiveInt | None


class SeriesLabelData(LabeledData):
    """A data module for labeled series of one or more channels from text tables, `.ts` or `.npz` files.

    Files may be compressed (`.gz`, `.xz`, `.zip`). The extension of a file determines its format: see `read_ts`,
    `read_npz` and, for tables, `read_long` (one row per step) and `read_wide` (one row per series). Channels are
    standardized and missing values are masked: see `Standardize`. Columns are given by name, or by number from 0 or
    from -1 for the last.

    Args:
        table: the format of tables.
        layout: the layout of tables, long or wide.
        id_column: the column that identifies the series of a row, in long tables; None if a file is one series.
        step_column: the column of steps, in long tables: numbers or times that ascend within a series. None for no
            column.
        step_format: the format of times in that column (see `Times`). None detects it.
        gaps: whether the distance from the step before is an input, in a first channel.
        channels: the columns of values, in long tables; None uses all other columns.
        target_column: the column of targets, in tables.
        group_column: the column of groups, in tables.
        missing: mask adds a mask to each channel with missing values in training; mask_all adds one to every channel.
        others: see `LabeledData`; `target` may be a curve.

    Raises:
        UserError: a cell is not a number, the number of channels differs between series, or a reader raises. The
            message has the file and the line.

    >>> import numpy as np, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/a.npz", x=np.arange(40.0).reshape(10, 4), y=["low", "high"] * 5)
    ...     data = SeriesLabelData(path=f"{folder}/a.npz", split={"test_fraction": 0}, batch_size=2)
    ...     data.setup()
    >>> data.model_kwargs, data.task_kwargs
    ({'input_size': 1, 'outputs': 2}, {'classes': ['high', 'low'], 'counts': [4, 4]})
    >>> next(iter(data.train_dataloader())).inputs.shape
    torch.Size([2, 4, 1])
    """

    kinds: Mapping[str, type[Numbers]] = {"number": Numbers, "curve": Curve}

    def __init__(
        self,
        *,
        table: TableFormat | Mapping[str, Any] | None = None,
        layout: Literal["long", "wide"] = "long",
        id_column: Column | None = None,
        step_column: Column | None = None,
        step_format: str | None = None,
        gaps: bool = False,
        channels: Sequence[Column] | None = None,
        target_column: Column = "label",
        group_column: Column | None = None,
        missing: Literal["mask", "mask_all"] = "mask",
        **others: Any,
    ) -> None:
        super().__init__(**others)
        if layout not in LAYOUTS:
            raise UserError("data.layout", " or ".join(LAYOUTS), repr(layout), fix="data.layout=long")
        if missing not in ("mask", "mask_all"):
            raise UserError("data.missing", "mask or mask_all", repr(missing), fix="data.missing=mask")
        self.layout = layout
        self.table = nested(TableFormat, table, "data.table")
        if gaps and step_column is None:
            raise UserError("data.gaps", "false without data.step_column", "true", fix="data.step_column=time")
        self.step_format, self.gaps = step_format, gaps
        self.columns = {"id": id_column, "step": step_column, "target": target_column, "group": group_column}
        self.channels = channels
        self.standardize = Standardize(mask_all=missing == "mask_all")
        self._steps: int | None = None  # the length of all training series, if it is equal

    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {"input_size": self.standardize.width, "outputs": self.targets.outputs}

    def read_files(self, part: str, paths: Paths, argument: str) -> list[Labeled]:
        return list(self._read(paths, argument, targets=True))

    def read_inputs(self, path: Path | None) -> Iterator[Labeled]:
        if path is not None:
            found = self._read(path, "--input", targets=False)
        else:
            text = "".join(stdin_lines(encoding=self.table.encoding, key=ENCODING))
            name = "standard input" + (".ts" if text.lstrip().startswith(("@", "#")) else ".csv")
            found = iter(self._from_text(text, name, "--input", targets=False))
        for example in found:
            yield self.ready(example)
        self.notes.print()

    def read_steps(self, lines: Iterable[str]) -> Iterator[Labeled]:
        """Yield each row of a long table as an encoded example of one step, as it arrives.

        Raises:
            UserError: the run reads tables with one series in a row, or a row does not fit.
        """
        if self.gaps:
            raise UserError("data.gaps", "false for a stream of rows", "true", fix="rnnkit predict, which reads series")
        if self.layout != "long":
            raise UserError("data.layout", "long, a row for each step", self.layout, fix="data.layout=long")
        header = ""
        for number, line in enumerate(lines, 1):
            if self.table.header is not False and number == 1:
                header = line if line.endswith("\n") else f"{line}\n"
                continue
            name = f"row {number} of standard input.csv"  # a name decides the format
            for example in read_long(
                header + line,
                name,
                self.columns,
                self.channels,
                self.table,
                curve=False,
                targets=False,
                argument="standard input",
                notes=self.notes,
                step_format=self.step_format,
            ):
                known = example if self.columns["id"] is not None else example._replace(id="")
                yield known._replace(inputs=self.encode_inputs(known))

    def is_empty(self, example: Labeled) -> bool:
        return bool(np.isnan(example.inputs).all())

    def learn_inputs(self, train: Sequence[Labeled]) -> dict[str, Any]:
        lengths = {len(example.inputs) for example in train}
        self._steps = lengths.pop() if len(lengths) == 1 else None
        return {**self.standardize.learn(train), "steps": self._steps}

    def check_inputs(self, learned: dict[str, Any]) -> None:
        check(learned, Learned, "inputs")
        self.standardize.check_learned(learned)

    def restore_inputs(self, learned: Mapping[str, Any]) -> None:
        self.standardize.restore(learned)
        self._steps = learned["steps"]

    def encode_inputs(self, example: Labeled) -> torch.Tensor:
        return self.standardize.encode(example)

    def _read(self, paths: Paths, argument: str, *, targets: bool) -> Iterator[Labeled]:
        found = []
        for file in files(paths, argument, "my_series.csv"):
            if file.named or suffix_of(file.name) in _SUFFIXES:
                found.append(file)
            else:
                self.notes.add("files of other kinds, skipped", str(file.path))
        if not found:
            got = f"none in {paths}"
            raise UserError(argument, f"files that end in {', '.join(_SUFFIXES)}", got, fix=f"{argument}=my_series.csv")
        start = 0
        for file in found:
            if suffix_of(file.name) == ".npz":
                examples = read_npz(
                    read_bytes(file.path, argument), file.name, targets=targets, argument=argument, notes=self.notes
                )
            else:
                (document,) = read(
                    file.path, argument=argument, example="my_series.csv", encoding=self.table.encoding, key=ENCODING
                )
                examples = self._from_text(document.text, file.name, argument, targets=targets)
            for example in examples:
                yield example if isinstance(example.id, str) else example._replace(id=start + example.id)
            start += len(examples)

    def _from_text(self, text: str, name: str, argument: str, *, targets: bool) -> list[Labeled]:
        suffix = suffix_of(name)
        if suffix == ".ts":
            return read_ts(text, name, targets=targets, argument=argument, notes=self.notes)
        if self.table.of_file(name, argument) == "parquet":
            fix = f"{argument}=my_series.csv"
            raise UserError(argument, f"a file that ends in {', '.join(_SUFFIXES)}", f"'{name}'", fix=fix)
        if self.layout == "wide":
            return read_wide(
                text,
                name,
                self.columns["target"],
                self.columns["group"],
                self.table,
                steps=self._steps,
                targets=targets,
                argument=argument,
                notes=self.notes,
            )
        return read_long(
            text,
            name,
            self.columns,
            self.channels,
            self.table,
            curve=self.target == "curve",
            targets=targets,
            argument=argument,
            notes=self.notes,
            step_format=self.step_format,
            gaps=self.gaps,
        )


_SUFFIXES = (".ts", ".npz", ".txt", *(suffix for suffix, format_ in FORMATS.items() if format_ != "parquet"))
