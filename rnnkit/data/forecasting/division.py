"""Division of series into training, validation and test, and the windows of each split."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.frame import Frame
from rnnkit.data.forecasting.frequency import Frequency
from rnnkit.data.forecasting.panel import Panel
from rnnkit.data.forecasting.source import SPLITS
from rnnkit.data.io.times.stamps import possible_formats, read_stamp
from rnnkit.errors import UserError
from rnnkit.ranges import Fraction, NonNegativeInt, PositiveInt


@dataclass(frozen=True)
class StepSplit:
    """Division of a series into splits by dates, by numbers of steps or by fractions, in this order of precedence.

    The test split is the last part, and the validation split is before it. With `train_steps`, which requires the other
    two numbers, the splits are counted from the first step, and the remaining steps at the end are not used.

    Args:
        valid_fraction: the fraction of the steps of each series for validation.
        test_fraction: the fraction of the steps for test; 0 makes no test split.
        train_steps: the number of steps for training.
        valid_steps: the number of steps for validation.
        test_steps: the number of steps for test.
        valid_from: the time of the first step for validation.
        test_from: the time of the first step for test.
        drop_short: whether to drop series that are too short for one training window. Otherwise, they are an error.

    Raises:
        UserError: a number is out of range, or the splits leave no steps for training.
    """

    valid_fraction: Fraction = 0.15
    test_fraction: Fraction = 0.15
    train_steps: PositiveInt | None = None
    valid_steps: NonNegativeInt | None = None
    test_steps: NonNegativeInt | None = None
    valid_from: str | None = None
    test_from: str | None = None
    drop_short: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.valid_fraction < 1:
            got = str(self.valid_fraction)
            raise UserError(
                "data.split.valid_fraction", "a number from 0 to 1", got, fix="data.split.valid_fraction=0.15"
            )
        if not 0 <= self.test_fraction < 1 - self.valid_fraction:
            got = f"{self.test_fraction} with data.split.valid_fraction={self.valid_fraction}"
            expected = "0, for no test split, or a number that leaves steps for training"
            raise UserError("data.split.test_fraction", expected, got, fix="data.split.test_fraction=0.15")
        for name in ("train_steps", "valid_steps", "test_steps"):
            steps = getattr(self, name)
            if steps is not None and (not isinstance(steps, int) or steps < 0):
                raise UserError(f"data.split.{name}", "a number of steps", repr(steps), fix=f"data.split.{name}=100")
        if self.train_steps is not None and None in (self.valid_steps, self.test_steps):
            got = f"data.split.train_steps={self.train_steps} without one of them"
            raise UserError(
                "data.split.train_steps",
                "also data.split.valid_steps and data.split.test_steps",
                got,
                fix="data.split.test_steps=0",
            )

    def ends(self, frame: Frame, files: Container[str]) -> tuple[int, int, int]:
        """The end of the training, validation and test split of the series of a frame, in steps.

        Args:
            frame: the frame.
            files: the splits that have their own file. If the test split has one and the validation split does not,
                validation uses the end of the training file.
        """
        train, valid, _ = (int(count) for count in np.bincount(frame.part, minlength=3))
        whole = len(frame)
        if "valid" in files or ("test" in files and not train):
            return train, train + valid, whole
        if "test" in files:
            return train - self._count("valid", frame, train), train, whole
        if self.train_steps is not None:
            assert self.valid_steps is not None and self.test_steps is not None  # noqa: PT018
            first, second = self.train_steps, self.train_steps + self.valid_steps
            return first, second, second + self.test_steps
        if self._by_fraction("test") and self._by_fraction("valid"):
            # rounded, because 50 * (1 - 0.42) is slightly less than 29 in floating point
            rests = (self.valid_fraction + self.test_fraction, self.test_fraction)
            first, second = (int(round(whole * (1 - rest), 6)) for rest in rests)
            return first, second, whole
        second = whole - self._count("test", frame, whole)
        return second - self._count("valid", frame, second), second, whole

    def _by_fraction(self, split: str) -> bool:
        return getattr(self, f"{split}_from") is None and getattr(self, f"{split}_steps") is None

    def _count(self, split: str, frame: Frame, end: int) -> int:
        """The number of steps of a split that ends before step `end`."""
        date, steps = getattr(self, f"{split}_from"), getattr(self, f"{split}_steps")
        if date is not None:
            return max(0, end - _before(frame, str(date), split))
        if steps is not None:
            return int(steps)
        return len(frame) - int(round(len(frame) * (1 - getattr(self, f"{split}_fraction")), 6))


def usable(
    frames: Sequence[Frame],
    frequency: Frequency | None,
    ends: Callable[[Frame], tuple[int, int, int]],
    horizon: int,
    *,
    drop: bool,
) -> tuple[Panel, NDArray[np.int64], int]:
    """Check that the series are long enough for their splits.

    Args:
        frames: the series.
        frequency: their frequency.
        ends: a function that returns the ends of the splits of a frame.
        horizon: the number of steps to forecast.
        drop: whether to drop series that are too short.

    Returns:
        The series, the ends of their splits [S, 3], and the number of dropped series.

    Raises:
        UserError: a series is too short and `drop` is false, or all series are too short.
    """
    panel = Panel.of(frames, frequency)
    ends_S3 = np.array([ends(frame) for frame in panel.frames])
    short_S3 = too_short(panel, ends_S3, horizon)
    short_S: NDArray[np.bool_] = short_S3.max(1)
    if not short_S.any():
        return panel, ends_S3, 0
    if drop and not short_S.all():
        kept = iter((~short_S).tolist())
        left = [frame.only([next(kept) for _ in frame.ids]) for frame in frames]
        return Panel.of([frame for frame in left if frame.ids], frequency), ends_S3[~short_S], int(short_S.sum())
    series = int(short_S.argmax())
    split = SPLITS[int(short_S3[series].argmax())]
    start, end = (0, *ends_S3[series])[SPLITS.index(split) :][:2]
    name = f" of series {panel.ids[series]}" if panel.ids[series] else ""
    more = f" and of {short_S.sum() - 1:,} more" if short_S.sum() > 1 else ""
    drop_them = ", or data.split.drop_short=true" if not short_S.all() else ", or longer series"
    raise UserError(
        "data.horizon",
        f"{horizon} steps or more of every series in the {split} split, and one step before them",
        f"{max(0, end - start):,} of {panel.lengths[series]:,} steps{name}{more}",
        fix=f"data.horizon={max(1, (end - start) // 2)}, splits that leave more{drop_them}",
    )


def too_short(panel: Panel, ends_S3: NDArray[np.int64], horizon: int) -> NDArray[np.bool_]:
    """Whether a series is too short for a split [S, 3]: it needs one horizon in the split and a step before that."""
    starts_S3 = np.concatenate([np.zeros_like(ends_S3[:, :1]), ends_S3[:, :2]], 1)
    steps_S3 = ends_S3 - starts_S3
    needed_S3 = horizon + (starts_S3 == 0)
    short_S3: NDArray[np.bool_] = (steps_S3 != 0) & (steps_S3 < needed_S3) | (ends_S3 > panel.lengths[:, None])
    return short_S3


def origins(
    panel: Panel, ends_S3: NDArray[np.int64], context: int, horizon: int, strides: tuple[int, int, int]
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The series and origin of every window of each split.

    The whole future of a window is within its split; its past may start before it. A series that is shorter than
    context and horizon has one training window with a shorter past.
    """
    found = {}
    for number, (split, stride) in enumerate(zip(SPLITS, strides, strict=True)):
        series, at = [], []
        for index in range(len(panel)):
            low, high = (0, *ends_S3[index])[number], ends_S3[index, number]
            first = max(low, min(context, high - horizon), 1)
            here = np.arange(first, high - horizon + 1, stride)
            series.append(np.full(len(here), index))
            at.append(here)
        found[split] = np.concatenate(series), np.concatenate(at)
    return found


def observed(
    panel: Panel, series: NDArray[np.int64], origin: NDArray[np.int64], context: int, horizon: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each window has any value in its past, and in its future."""
    seen = np.concatenate([[0], np.cumsum(~np.isnan(panel.values).all(1))])
    now = panel.starts[series] + origin
    past = seen[now] > seen[panel.starts[series] + np.maximum(origin - context, 0)]
    return past, seen[now + horizon] > seen[now]


def assert_disjoint(windows: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]], series: int, horizon: int) -> None:
    """Assert that no step forecast by a split is forecast or read by an earlier split, in any series."""
    end = np.zeros(series, np.int64)  # the end of the steps that earlier splits read or forecast
    for split in SPLITS:
        index, origin = windows.get(split, (np.zeros(0, np.int64), np.zeros(0, np.int64)))
        assert (origin >= end[index]).all(), f"{split} windows forecast steps that an earlier split has seen"
        reached = end.copy()
        np.maximum.at(reached, index, origin + horizon)
        end = reached


def _before(frame: Frame, text: str, split: str) -> int:
    """The number of steps of a series before a date. The date is in the zone of the series, unless it names another."""
    if frame.times is None or frame.times.dtype.kind != "M":
        fix = f"data.split.{split}_steps=100, or data.time=column_with_dates"
        raise UserError(f"data.split.{split}_from", "series with time stamps", "none in the file", fix=fix)
    formats = possible_formats(text)
    found = read_stamp(text, formats[0]) if len(formats) == 1 else None
    if found is None:
        raise UserError(f"data.split.{split}_from", "a date", repr(text), fix=f"data.split.{split}_from=2024-12-31")
    local, ahead = np.datetime64(found[0], "us"), found[1]
    if ahead is None:
        return int(np.searchsorted(frame.local, local))
    return int(np.searchsorted(frame.times, local - np.timedelta64(ahead)))
