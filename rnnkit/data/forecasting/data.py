"""The data module for forecasting."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rnnkit.batch import SequenceBatch
from rnnkit.data.catalog.origin import Origin
from rnnkit.data.forecasting.calendar import calendar_names
from rnnkit.data.forecasting.detection import frequency_of
from rnnkit.data.forecasting.divided import divided
from rnnkit.data.forecasting.division import StepSplit, usable
from rnnkit.data.forecasting.encoding import Encoding, encode, learn
from rnnkit.data.forecasting.following import BATCH_SIZES, Choices, batch_size_for
from rnnkit.data.forecasting.format import Format, columns_of
from rnnkit.data.forecasting.frame import Frame
from rnnkit.data.forecasting.frames import read_frames
from rnnkit.data.forecasting.frequency import parse_frequency
from rnnkit.data.forecasting.learned import check_learned, upgraded
from rnnkit.data.forecasting.options import Columns, Covariates, Times, WindowOptions, check_count
from rnnkit.data.forecasting.panel import Panel
from rnnkit.data.forecasting.prediction import forecast_rows, with_future
from rnnkit.data.forecasting.regular import Fit, on_grid
from rnnkit.data.forecasting.report import extent_lines, grid_lines, missing_line
from rnnkit.data.forecasting.scaling import SCALINGS
from rnnkit.data.forecasting.source import SPLITS, Source
from rnnkit.data.forecasting.support import check_support
from rnnkit.data.forecasting.windows import Shape, Window, Windows, first_origins
from rnnkit.data.forecasting.zones import time_zone as check_time_zone
from rnnkit.data.io.sources import Paths
from rnnkit.data.io.tables.format import TableFormat
from rnnkit.data.io.tables.positions import Column
from rnnkit.data.io.times.stamps import NUMBER
from rnnkit.data.loading.batches import Batches
from rnnkit.data.loading.sequences import SequenceData
from rnnkit.errors import UserError
from rnnkit.nested import nested
from rnnkit.notices import notice
from rnnkit.ranges import NonNegativeInt, PositiveInt, Seed, Steps
from rnnkit.support import Support


class ForecastData(SequenceData[Window]):
    r"""A data module for time series, as windows of past and future.

    The series come from `path`, from `train`, from `dataset` or from `generator`; the first that is given is used.
    Files are text tables, JSON lines or Parquet (needs the extra `timeseries`); see `TableFormat`. Columns are given by
    name, or by number from 0.

    **Time.** The frequency is checked against the times of each series. Missing values stay missing. Missing rows
    become steps without values, and rows between the steps of the frequency move to the nearest step. If most rows are
    between steps, this is an error. Rows in descending order are reversed. After `setup`, `report` describes how the
    files were read.

    **Splits** are intervals of time (see `StepSplit`). The future of a window is within its split; its past may start
    before the split. Windows without any value in the future (in training, also in the past) are dropped and counted in
    `report`. A series that is shorter than the context has windows with a shorter past.

    **Scaling** uses the training part of each series and channel (see `rnnkit.data.forecasting.scaling`). A series that
    is not in the training data is scaled by its own steps before the first forecast. Covariates are standardized.

    Args:
        dataset: a name of `rnnkit data list`.
        path: a file to divide in time, or a folder, a glob or a list of files with the same columns, which are joined.
        train: the training file, instead of `path`.
        valid: a file that continues the series of `train`; optional. It may have other series.
        test: a file that continues the series of `valid`; optional. It may have other series.
        generator: a function without arguments that returns the values [N, C] of each series by its name.
        table: the format of the files.
        layout: "wide": a row is a time, and a column is a channel or series. "long": a row is a time of the series in
            column `id`. "rows": a row is a series without times, and its first cell is the name. None: "long" if `id`
            is given, else "wide".
        time: the column of time stamps or step numbers, or several columns to be joined. None detects them (see
            `rnnkit.data.forecasting.clock`).
        id: the column that names the series of a row.
        target: the column or columns to forecast; None uses all columns without another role, and "numeric" those of
            them that are numbers.
        covariates: the columns that are not forecast.
        multivariate: whether several targets are channels of one series. Otherwise, each is a separate series.
        times: the meaning of times, and the order and the distance of rows.
        split: the division into training, validation and test.
        context: the largest number of past steps in a window. None, here and below, follows from the training part of
            the series (see `rnnkit.data.forecasting.following`), and `suggestions` has what it is.
        horizon: the number of steps to forecast.
        windows: the windows that are cut from series.
        scaling: none, standard, mean or robust; or None.
        batch_size: see `SequenceData`; or None.
        eval_batch_size: see `SequenceData`.
        seed: see `SequenceData`.
        workers: see `SequenceData`.

    Raises:
        UserError: the arguments are inconsistent. In `setup`: the files cannot be read with these arguments.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "sales.csv")
    ...     months = [f"20{year}-{month:02}-01,{month}" for year in range(10, 20) for month in range(1, 13)]
    ...     _ = path.write_text("\n".join(["month,sold", *months]))
    ...     data = ForecastData(path=path, context=24, horizon=6)
    ...     data.setup()
    >>> data.task_kwargs, len(data.splits["train"]), len(data.splits["test"])
    ({'season': 12, 'channels': ['sold']}, 55, 13)
    >>> batch = next(iter(data.val_dataloader()))
    >>> batch.inputs.past.shape, batch.targets.shape
    (torch.Size([13, 24, 1]), torch.Size([13, 6, 1]))
    """

    task = "forecasting"

    def __init__(
        self,
        *,
        dataset: str | None = None,
        path: Paths | None = None,
        train: Paths | None = None,
        valid: Paths | None = None,
        test: Paths | None = None,
        generator: Callable[[], Mapping[str, NDArray[np.float64]]] | None = None,
        table: TableFormat | Mapping[str, Any] | None = None,
        layout: Literal["wide", "long", "rows"] | None = None,
        time: Columns | None = None,
        id: Column | None = None,
        target: Columns | None = None,
        covariates: Covariates | Mapping[str, Any] | None = None,
        multivariate: bool = True,
        times: Times | Mapping[str, Any] | None = None,
        split: StepSplit | Mapping[str, Any] | None = None,
        context: Steps | None = None,
        horizon: Steps = 24,
        windows: WindowOptions | Mapping[str, Any] | None = None,
        scaling: Literal["none", "standard", "mean", "robust"] | None = None,
        batch_size: PositiveInt | None = None,
        eval_batch_size: PositiveInt = 256,
        seed: Seed = 1,
        workers: NonNegativeInt = 0,
    ) -> None:
        super().__init__(batch_size or BATCH_SIZES[0], eval_batch_size, seed, workers)
        for name, count in (("context", context), ("horizon", horizon)):
            check_count(f"data.{name}", count)
        if scaling not in (None, *SCALINGS):
            raise UserError("data.scaling", f"one of {', '.join(SCALINGS)}", repr(scaling), fix="data.scaling=standard")
        self.source = Source(Origin.of(dataset, path, train, valid, test), generator)
        covariates, times = nested(Covariates, covariates, "data.covariates"), nested(Times, times, "data.times")
        self.form = Format(
            layout=layout,
            table=nested(TableFormat, table, "data.table"),
            time=columns_of(time),
            time_format=times.format,
            time_zone=times.zone,
            id=id,
            target=columns_of(target),
            past_covariates=columns_of(covariates.past),
            known_covariates=columns_of(covariates.known),
            static_covariates=columns_of(covariates.static),
            categorical=columns_of(covariates.categorical),
            multivariate=multivariate,
            sort=times.sort,
            duplicates=times.duplicates,
            fill_gaps=times.fill_gaps,
        )
        if times.zone is not None:
            check_time_zone(times.zone)
        self.frequency = None if times.frequency is None else parse_frequency(times.frequency)
        self._is_frequency_given = times.frequency is not None
        self.season = times.season
        self.time_features = covariates.time_features
        self.split = nested(StepSplit, split, "data.split")
        self.windows = nested(WindowOptions, windows, "data.windows")
        self.context, self.horizon = context, horizon
        self.scaling = scaling
        self._is_batch_size_given = batch_size is not None
        self._suggested: dict[str, Any] = {}
        self._encoding: Encoding | None = None
        self._support: Support | None = None
        self._written_format: str | None = None  # the format of times in the input of predictions
        self.report: list[str] = []

    def setup(self, stage: str | None = None) -> None:
        """Read, divide and encode the series. Learn from the training part, unless `load` restored a trained model."""
        if self.splits:
            return
        splits = self.read()
        self._check_splits(splits)
        if not self._is_restored:
            self.learn(splits["train"])
        self.splits = dict(splits)
        self._encode(list(splits.values()))

    def require(self, support: Support) -> None:
        """Require values within a support, in all splits and in the input of later predictions.

        Raises:
            UserError: a value is outside (the message has the file, line and series), or the support excludes the
                scaling.
        """
        if self.scaling is not None and self.scaling not in support.scalings:
            wanted = support.scalings[0]
            expected = f"{' or '.join(support.scalings)}, for {support.expected}"
            raise UserError("data.scaling", expected, self.scaling, fix=f"data.scaling={wanted}")
        self._support = support
        if self.splits:
            files = self.source.files
            by_part = [files.get(name, files.get("path")) for name in SPLITS]
            check_support(self._panel, support, self.form, by_part, "data.target", trained=self._is_restored)

    def read(self) -> dict[str, Windows]:
        frames, self.form, notes = self.source.frames(self.form)
        timed = [frame for frame in frames if frame.times is not None]
        times, local = [frame.times for frame in timed], [frame.local for frame in timed]
        self.frequency = frequency_of(times, local, self.frequency, dated=self.time_features)
        regular, fit = self._on_grid(frames, self.form)
        if self.season is None:
            self.season = self.frequency.season if self.frequency else 1
            if self.form.fill_gaps is False and not fit.is_perfect and self.season > 1:
                notes.append("no season: with data.times.fill_gaps=false, the steps are not equally spaced")
                self.season = 1
        ends = partial(self.split.ends, files=self.source.files)
        panel, ends_S3, short = usable(regular, self.frequency, ends, self.horizon, drop=self.split.drop_short)
        if short:
            notes.append(f"{short:,} of {short + len(panel):,} series are too short and dropped")
        if not self._is_restored:
            train = [panel.of_series(series, int(end)) for series, end in enumerate(ends_S3[:, 0]) if end > 1]
            choices = Choices.of(train, self.season, self.horizon, self.context)
            self.context, self.scaling = choices.context, self.scaling or choices.scaling
        cut = self.windows
        strides = (cut.stride, cut.eval_stride, cut.eval_stride)
        splits, counts = divided(panel, ends_S3, self._shape(), strides, cut.per_series, self.seed)
        self._panel, self._ends_S3 = panel, ends_S3
        if not self._is_restored:
            count = len(splits.get("train", ()))
            self.batch_size = self.batch_size if self._is_batch_size_given else batch_size_for(count)
            self._suggested = choices.suggestions(count, self.batch_size)
        windows = f"windows of {self.context} and {self.horizon} steps: {counts}"
        grid = grid_lines(fit, self.frequency, self.season, is_given=self._is_frequency_given, fill=self.form.fill_gaps)
        self.report = [*extent_lines(frames, self.form, self.source.name), *notes, *grid, missing_line(panel), windows]
        for line in (*notes, *grid[1:]) if self._is_restored else self.report:
            notice(line)
        return splits

    def learn(self, train: Sequence[Window]) -> None:
        calendar = calendar_names(self.frequency) if self.time_features else []
        assert self.scaling is not None
        self._encoding = learn(self._panel, self._ends_S3[:, 0], self.scaling, self._channels, calendar)

    def suggestions(self) -> dict[str, Any]:
        return self._suggested

    def learned(self) -> dict[str, Any]:
        return {
            "format": self.form.learned(),
            "frequency": None if self.frequency is None else str(self.frequency),
            "season": self.season,
            "context": self.context,
            "scaling": self.scaling,
            **asdict(self._learned),
        }

    def check_learned(self, learned: dict[str, Any]) -> None:
        check_learned(learned, self.form, self.season)

    def restore(self, learned: dict[str, Any]) -> None:
        learned = dict(learned)
        self.form = self.form.with_learned(learned.pop("format"))
        frequency, self.season = learned.pop("frequency"), learned.pop("season")
        context, scaling = learned.pop("context"), learned.pop("scaling")
        self.context, self.scaling = self.context or context, self.scaling or scaling
        self.frequency = None if frequency is None else parse_frequency(frequency)
        self._encoding = Encoding(**learned)
        is_known = self.frequency is not None and self.form.time and self.form.time_format is not None
        if is_known and (self.frequency.unit == "") != (self.form.time_format == NUMBER):  # type: ignore[union-attr]
            raise ValueError(f"frequency is {frequency}, but times are read as {self.form.time_format}")
        if list(self._learned.calendar) != (calendar_names(self.frequency) if self.time_features else []):
            raise ValueError("calendar is not that of the frequency and data.covariates.time_features")

    def upgraded(self, learned: dict[str, Any]) -> dict[str, Any]:
        return upgraded(learned, self.form, self.context, self.scaling)

    def length(self, example: Window) -> int:
        return example.source.length(example)

    def collate(self, examples: Sequence[Window]) -> SequenceBatch:
        return examples[0].source.gather(examples)

    def batches(self, split: str, batch_size: PositiveInt, *, shuffle: bool = False) -> Batches:
        batches = super().batches(split, batch_size, shuffle=shuffle)
        windows = self.splits[split]
        if shuffle and isinstance(windows, Windows):
            windows.epoch = lambda: batches.epoch
        return batches

    @property
    def model_kwargs(self) -> dict[str, Any]:
        form, encoding = self.form, self._learned
        known = form.known(categorical=True)
        vocabularies = [len(words) + 1 for words in encoding.vocabularies]
        return {
            "channels": len(self._channels),
            "context": self.context,
            "horizon": self.horizon,
            "past_covariates": len(encoding.numbers) + len(encoding.calendar),
            "future_covariates": len(form.known(categorical=False)) + len(encoding.calendar),
            "past_categories": vocabularies,
            "future_categories": vocabularies[len(vocabularies) - len(known) :],
            "static": len(encoding.static),
            "static_categories": [len(words) + 1 for words in encoding.static_vocabularies],
        }

    @property
    def task_kwargs(self) -> dict[str, Any]:
        return {"season": self.season, "channels": self._channels}

    def read_inputs(self, path: Path | None) -> Iterator[Window]:
        frames, form, notes = read_frames(path, "--input", self.form)
        known, zone = form.known_covariates, form.time_zone
        regular, fit = self._on_grid(frames, form)
        grid = grid_lines(fit, self.frequency, self.season, is_given=True, fill=form.fill_gaps)
        for line in (*notes, *grid[1:]):
            notice(line)
        ahead = [with_future(frame, self.horizon, self.frequency, known, zone) for frame in regular]
        self._written_format = form.time_format if len(form.time) == 1 else None
        panel = Panel.of([frame for frame, _ in ahead], self.frequency)
        if self._support is not None:
            check_support(panel, self._support, self.form, [path], "--input", trained=True)
        ends = np.array([end for frame, end in ahead for _ in frame.ids])
        everything = np.arange(len(panel))
        windows = Windows(panel, self._shape(), everything, ends, ends)
        self._encode([windows])
        yield from windows

    def rows(self, example: Window, prediction: Any) -> Iterable[dict[str, Any]]:
        yield from forecast_rows(example, prediction, self._channels, self._written_format)

    @property
    def _learned(self) -> Encoding:
        if self._encoding is None:
            raise RuntimeError("ForecastData has learned nothing before setup()")
        return self._encoding

    @property
    def _channels(self) -> list[str]:
        return list(self.form.target) if self.form.multivariate or len(self.form.target) == 1 else ["value"]

    def _shape(self) -> Shape:
        calendar = calendar_names(self.frequency) if self.time_features else []
        assert self.season is not None
        assert self.context is not None
        return Shape(
            self.context,
            self.horizon,
            self.season,
            known_numbers=len(self.form.known(categorical=False)) + len(calendar),
            known_categories=len(self.form.known(categorical=True)),
        )

    def _on_grid(self, frames: list[Frame], form: Format) -> tuple[list[Frame], Fit]:
        fill, zone = form.fill_gaps, form.time_zone
        if fill and any(frame.times is None for frame in frames):
            fix = "data.times.fill_gaps=false, or data.time=column"
            raise UserError("data.times.fill_gaps", "time stamps", "a file without them", fix=fix)
        return on_grid(frames, self.frequency, fill=fill, zone=zone, is_given=self._is_frequency_given)

    def _encode(self, splits: Sequence[Windows]) -> None:
        assert self.scaling is not None
        encoded = encode(splits[0].panel, self._learned, first_origins(splits), self.scaling, self._channels)
        for windows in splits:
            windows.encoded = encoded

    def _check_splits(self, splits: Mapping[str, Windows]) -> None:
        """Check that training has windows in the training and validation splits, and evaluation in any split."""
        needed = {"train": "data.train=my.csv", "valid": "data.split.valid_steps=100"}
        if self._is_restored:
            needed = {} if splits else {"test": "data.test=my.csv"}
        for name, fix in needed.items():
            if name not in splits:
                raise UserError(f"{name} split", "windows with values", "none", fix=fix)
