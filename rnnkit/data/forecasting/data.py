"""Time series for forecasting: from a name or path to windows of past and future."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rnnkit.batch import SequenceBatch
from rnnkit.data.batches import Batches
from rnnkit.data.forecasting.calendar import calendar_names
from rnnkit.data.forecasting.division import Division, assert_apart, observed, origins, usable
from rnnkit.data.forecasting.encoding import Encoding, encode, learn
from rnnkit.data.forecasting.format import Format, names
from rnnkit.data.forecasting.frames import Frame, read_frames
from rnnkit.data.forecasting.frequency import frequency_of, parse_frequency
from rnnkit.data.forecasting.grid import filled
from rnnkit.data.forecasting.panel import Panel
from rnnkit.data.forecasting.prediction import forecast_rows, with_future
from rnnkit.data.forecasting.scaling import SCALINGS
from rnnkit.data.forecasting.source import SPLITS, Source
from rnnkit.data.forecasting.windows import Shape, Window, Windows, first_origins
from rnnkit.data.origin import Origin
from rnnkit.data.sequences import SequenceData
from rnnkit.errors import UserError
from rnnkit.ranges import Fraction, NonNegativeInt, PositiveInt, Seed

logger = logging.getLogger(__name__)


class ForecastData(SequenceData[Window]):
    r"""Time series as windows: up to `context` steps of the past, `horizon` steps of the future.

    What is read, the first of these that is given: `path`, one file that is divided in time; `train` and, if wanted,
    `valid` and `test`, files of which each goes on where the one before ended (series that only one of them has are
    fine); `dataset`, a name of `rnnkit data list`; `generator`, called without arguments, which returns from the name
    of each series its values [N, C]. Files are CSV (also `.gz`, `.xz`) or Parquet (the extra `timeseries`).

    **Layout.** "wide": a row is a time, a column a channel or series. "long": a row is a time of the series that column
    `id` names. "rows": a row is a series, its name first, without times. None: long where `id` is given, else wide.
    Without a `header` columns are named 1, 2, 3 and so on.

    **Columns.** `time`: time stamps (read by `time_format` where they are not ISO) or plain numbers; None takes the
    first column that holds dates. `target`: one name or several; None takes all columns that are nothing else.
    `past_covariates` are known up to the origin of a forecast, `known_covariates` for its horizon too,
    `static_covariates` do not change within a series. Columns that begin with a word are categorical, and those that
    `categorical` names. With `multivariate` the targets are channels of one series, else each is a series of its own.

    **Time.** `frequency` is given, such as 15min or 1mo, or found, the median distance of two steps. Missing values
    stay missing; missing rows show in `gaps`, or become steps without values by `fill_gaps`. Rows must be in the order
    of time, or `sort`; times that repeat are an error unless `duplicates` says first, last or mean.

    **Splits** (see `Division`) are stretches of time: every window's future lies within its split, and its past may
    reach back before it. Training windows begin every `stride` steps, all others every `eval_stride`. With
    `windows_per_series` an epoch has so many training windows of each series, drawn anew each time. Windows whose
    future (in training: or past) has no value at all are left out and counted in the log.

    **Scaling** by series and channel, from the training part: see `rnnkit.data.forecasting.scaling`. A series that
    training did not have is scaled by its own steps before the first forecast. Covariates are standardised. With
    `time_features` the calendar joins the known covariates. `season` is that of the frequency unless it is given.

    A series that is too short for one training window is an error, or left out with `drop_short`. One that is shorter
    than the context has a shorter past.

    Raises UserError for arguments that make no sense together and, in `setup`, for files that cannot be read so.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "sales.csv")
    ...     months = [f"20{year}-{month:02}-01,{month}" for year in range(10, 20) for month in range(1, 13)]
    ...     _ = path.write_text("\n".join(["month,sold", *months]))
    ...     data = ForecastData(path=path, context=24, horizon=6)
    ...     data.setup()
    >>> data.facts, len(data.splits["train"]), len(data.splits["test"])
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
        path: str | Path | None = None,
        train: str | Path | None = None,
        valid: str | Path | None = None,
        test: str | Path | None = None,
        generator: Callable[[], Mapping[str, NDArray[np.float64]]] | None = None,
        layout: Literal["wide", "long", "rows"] | None = None,
        header: bool = True,
        time: str | int | None = None,
        time_format: str | None = None,
        frequency: str | None = None,
        id: str | int | None = None,
        target: str | int | Sequence[str | int] | None = None,
        past_covariates: str | Sequence[str] | None = None,
        known_covariates: str | Sequence[str] | None = None,
        static_covariates: str | Sequence[str] | None = None,
        categorical: str | Sequence[str] | None = None,
        multivariate: bool = True,
        sort: bool = False,
        duplicates: Literal["error", "first", "last", "mean"] = "error",
        fill_gaps: bool = False,
        valid_fraction: Fraction = 0.15,
        test_fraction: Fraction = 0.15,
        train_steps: PositiveInt | None = None,
        valid_steps: NonNegativeInt | None = None,
        test_steps: NonNegativeInt | None = None,
        valid_from: str | None = None,
        test_from: str | None = None,
        context: PositiveInt = 96,
        horizon: PositiveInt = 24,
        stride: PositiveInt = 1,
        eval_stride: PositiveInt = 1,
        windows_per_series: PositiveInt | None = None,
        scaling: Literal["none", "standard", "mean", "robust"] = "standard",
        time_features: bool = False,
        season: PositiveInt | None = None,
        drop_short: bool = False,
        batch_size: PositiveInt = 64,
        eval_batch_size: PositiveInt = 256,
        seed: Seed = 1,
        workers: NonNegativeInt = 0,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, seed, workers)
        counts = {"context": context, "horizon": horizon, "stride": stride, "eval_stride": eval_stride}
        given = {"windows_per_series": windows_per_series, "season": season}
        for name, count in (counts | {name: count for name, count in given.items() if count is not None}).items():
            if not isinstance(count, int) or count < 1:
                raise UserError(f"data.{name}", "a whole number, 1 or more", repr(count), fix=f"data.{name}=24")
        if scaling not in SCALINGS:
            raise UserError("data.scaling", f"one of {', '.join(SCALINGS)}", repr(scaling), fix="data.scaling=standard")
        self.source = Source(Origin.of(dataset, path, train, valid, test), generator)
        self.form = Format(
            layout=layout,
            header=header,
            time=None if time is None else str(time),
            time_format=time_format,
            id=None if id is None else str(id),
            target=names(target),
            past_covariates=names(past_covariates),
            known_covariates=names(known_covariates),
            static_covariates=names(static_covariates),
            categorical=names(categorical),
            multivariate=multivariate,
            sort=sort,
            duplicates=duplicates,
            fill_gaps=fill_gaps,
        )
        self.frequency = None if frequency is None else parse_frequency(frequency)
        self.division = Division(
            valid_fraction, test_fraction, train_steps, valid_steps, test_steps, valid_from, test_from
        )
        self.context, self.horizon = context, horizon
        self.stride, self.eval_stride = stride, eval_stride
        self.windows_per_series = windows_per_series
        self.scaling = scaling
        self.time_features = time_features
        self.season = season
        self.drop_short = drop_short
        self._encoding: Encoding | None = None

    def setup(self, stage: str | None = None) -> None:
        """Read the series, divide them, learn from the training part unless `restore` came before, and encode all."""
        if self.splits:
            return
        splits = self.read()
        self._check_splits(splits)
        if not self._is_restored:
            self.learn(splits["train"])
        self.splits = dict(splits)
        self._encode(list(splits.values()))

    def read(self) -> dict[str, Windows]:
        frames, self.form = self.source.frames(self.form)
        self.frequency = frequency_of([frame.times for frame in frames], self.frequency, dated=self.time_features)
        self.season = self.season or (self.frequency.season if self.frequency else 1)
        ends = partial(self.division.ends, files=self.source.files)
        panel, ends_S3 = usable(self._on_grid(frames), self.frequency, ends, self.horizon, drop=self.drop_short)
        strides = (self.stride, self.eval_stride, self.eval_stride)
        found = origins(panel, ends_S3, self.context, self.horizon, strides)
        assert_apart(found, len(panel), self.horizon)
        splits = {}
        for number, name in enumerate(SPLITS):
            series, origin = found[name]
            past, future = observed(panel, series, origin, self.context, self.horizon)
            kept = past & future if name == "train" else future
            if len(kept) > kept.sum():
                logger.warning("%s: %s windows without a value left out", name, f"{len(kept) - kept.sum():,}")
            if not kept.any():
                continue
            before = ends_S3[:, max(0, number - 1)]
            draws = self.windows_per_series if name == "train" else None
            splits[name] = Windows(panel, self._shape(), series[kept], origin[kept], before, draws, self.seed)
            logger.info("%s: %s windows of %s series", name, f"{kept.sum():,}", f"{len(panel):,}")
        self._panel, self._ends_S3 = panel, ends_S3
        return splits

    def learn(self, train: Sequence[Window]) -> None:
        calendar = calendar_names(self.frequency) if self.time_features else []
        self._encoding = learn(self._panel, self._ends_S3[:, 0], self.scaling, self._channels, calendar)
        missing = 100 * np.isnan(self._panel.values).mean()
        logger.info("%s series, %.1f %% missing, frequency %s", f"{len(self._panel):,}", missing, self.frequency)

    def learnt(self) -> dict[str, Any]:
        return {
            "format": {name: getattr(self.form, name) for name in ("time", "target", "categorical")},
            "frequency": None if self.frequency is None else str(self.frequency),
            "season": self.season,
            **asdict(self._learnt),
        }

    def restore(self, learnt: dict[str, Any]) -> None:
        learnt = dict(learnt)
        self.form = replace(self.form, **learnt.pop("format"), is_resolved=True)
        frequency, self.season = learnt.pop("frequency"), learnt.pop("season")
        self.frequency = None if frequency is None else parse_frequency(frequency)
        self._encoding = Encoding(**learnt)

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
    def sizes(self) -> dict[str, Any]:
        form, encoding = self.form, self._learnt
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
    def facts(self) -> dict[str, Any]:
        return {"season": self.season, "channels": self._channels}

    def read_inputs(self, path: Path | None) -> Iterator[Window]:
        frames, _ = read_frames(path, "--input", self.form)
        known = self.form.known_covariates
        ahead = [with_future(frame, self.horizon, self.frequency, known) for frame in self._on_grid(frames)]
        panel = Panel.of([frame for frame, _ in ahead], self.frequency)
        ends = np.array([end for frame, end in ahead for _ in frame.ids])
        everything = np.arange(len(panel))
        windows = Windows(panel, self._shape(), everything, ends, ends)
        self._encode([windows])
        yield from windows

    def rows(self, example: Window, prediction: Any) -> Iterable[dict[str, Any]]:
        yield from forecast_rows(example, prediction, self._channels)

    @property
    def _learnt(self) -> Encoding:
        if self._encoding is None:
            raise RuntimeError("ForecastData has learnt nothing before setup()")
        return self._encoding

    @property
    def _channels(self) -> list[str]:
        return self.form.target if self.form.multivariate or len(self.form.target) == 1 else ["value"]

    def _shape(self) -> Shape:
        calendar = calendar_names(self.frequency) if self.time_features else []
        assert self.season is not None
        return Shape(
            self.context,
            self.horizon,
            self.season,
            known_numbers=len(self.form.known(categorical=False)) + len(calendar),
            known_categories=len(self.form.known(categorical=True)),
        )

    def _on_grid(self, frames: list[Frame]) -> list[Frame]:
        return [filled(frame, self.frequency) for frame in frames] if self.form.fill_gaps else frames

    def _encode(self, splits: Sequence[Windows]) -> None:
        encoded = encode(splits[0].panel, self._learnt, first_origins(splits), self.scaling, self._channels)
        for windows in splits:
            windows.encoded = encoded

    def _check_splits(self, splits: Mapping[str, Windows]) -> None:
        """Training needs windows of its own and for validation; evaluation, any."""
        needed = {"train": "data.train=my.csv", "valid": "data.valid_steps=100"}
        if self._is_restored:
            needed = {} if splits else {"test": "data.test=my.csv"}
        for name, fix in needed.items():
            if name not in splits:
                raise UserError(f"{name} split", "windows with values", "none", fix=fix)
