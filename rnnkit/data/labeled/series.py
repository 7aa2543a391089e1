"""The data module for labeled series."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from rnnkit.data.io.sources import Paths, files, read, read_bytes
from rnnkit.data.io.standard_input import stdin_lines
from rnnkit.data.labeled.arrays import read_npz
from rnnkit.data.labeled.base import LabeledData
from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.long import read_long
from rnnkit.data.labeled.quantities import Curve, Numbers
from rnnkit.data.labeled.standardize import LearnedChannels, Standardize
from rnnkit.data.labeled.tables import FORMATS, Column, suffix_of
from rnnkit.data.labeled.ts import read_ts
from rnnkit.data.labeled.wide import read_wide
from rnnkit.errors import UserError
from rnnkit.ranges import PositiveInt
from rnnkit.structure import check

LAYOUTS = ("long", "wide")


class Learned(LearnedChannels):
    """The learned properties of the inputs, as in the file."""

    steps: PositiveInt | None


class SeriesLabelData(LabeledData):
    """A data module for labeled series of one or more channels from `.ts`, `.npz`, CSV or TSV files.

    Files may be compressed (`.gz`, `.xz`). The extension of a file determines its format: see `read_ts`, `read_npz`
    and, for tables, `read_long` (one row per step) and `read_wide` (one row per series). Channels are standardized and
    missing values are masked: see `Standardize`. Columns are given by name, or by number from 0.

    Args:
        layout: the layout of tables, long or wide.
        header: whether the first row of a table has the names of columns.
        id_column: the column that identifies the series of a row, in long tables; None if a file is one series.
        step_column: the column of steps, in long tables. It must be ascending within a series. None for no column.
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
    ...     data = SeriesLabelData(path=f"{folder}/a.npz", test_fraction=0, batch_size=2)
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
        layout: Literal["long", "wide"] = "long",
        header: bool = True,
        id_column: Column | None = None,
        step_column: Column | None = None,
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
        self.header = header
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
            text = "".join(stdin_lines())
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
        if self.layout != "long":
            raise UserError("data.layout", "long, a row for each step", self.layout, fix="data.layout=long")
        header = ""
        for number, line in enumerate(lines, 1):
            if self.header and number == 1:
                header = line if line.endswith("\n") else f"{line}\n"
                continue
            name = f"row {number} of standard input.csv"  # a name decides the format
            text = StringIO(header + line)
            for example in read_long(
                text,
                name,
                self.columns,
                self.channels,
                header=self.header,
                curve=False,
                targets=False,
                argument="standard input",
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
                (document,) = read(file.path, argument=argument, example="my_series.csv")
                examples = self._from_text(document.text, file.name, argument, targets=targets)
            for example in examples:
                yield example if isinstance(example.id, str) else example._replace(id=start + example.id)
            start += len(examples)

    def _from_text(self, text: str, name: str, argument: str, *, targets: bool) -> list[Labeled]:
        suffix = suffix_of(name)
        if suffix == ".ts":
            return read_ts(text, name, targets=targets, argument=argument, notes=self.notes)
        if suffix not in FORMATS or FORMATS[suffix] == "jsonl":
            got = f"'{name}'"
            raise UserError(
                argument, f"a file that ends in {', '.join(_SUFFIXES)}", got, fix=f"{argument}=my_series.csv"
            )
        if self.layout == "wide":
            return read_wide(
                StringIO(text),
                name,
                self.columns["target"],
                self.columns["group"],
                header=self.header,
                steps=self._steps,
                targets=targets,
                argument=argument,
                notes=self.notes,
            )
        return read_long(
            StringIO(text),
            name,
            self.columns,
            self.channels,
            header=self.header,
            curve=self.target == "curve",
            targets=targets,
            argument=argument,
            notes=self.notes,
        )


_SUFFIXES = (".ts", ".npz", *(suffix for suffix, format_ in FORMATS.items() if format_ != "jsonl"))
