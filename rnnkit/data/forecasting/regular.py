"""Conversion of series to the grid of their frequency."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.detection import detect_frequency
from rnnkit.data.forecasting.frame import Frame
from rnnkit.data.forecasting.frequency import Frequency, Times
from rnnkit.data.forecasting.grid import Grid
from rnnkit.data.forecasting.zones import offsets_at, offsets_of_local, time_zone
from rnnkit.data.io.times.stamps import write_stamps
from rnnkit.errors import UserError

MOST_STEPS = 20
"""The largest number of grid steps per row of a series; 10,000 more are always allowed."""


@dataclass
class Fit:
    """Statistics on the fit of all rows to the grid of their frequency.

    Attributes:
        distances: the number of distances between consecutive rows of a series.
        single: the number of distances of one step.
        moved: the number of rows between grid steps, which were moved to the nearest step.
        furthest: the largest distance by which a row was moved.
        left_out: the number of rows that were dropped because another row is closer to their step.
        filled: the number of steps without a row.
        gaps: the number of gaps with such steps.
    """

    distances: int = 0
    single: int = 0
    moved: int = 0
    furthest: Any = None
    left_out: int = 0
    filled: int = 0
    gaps: int = 0

    @property
    def is_perfect(self) -> bool:
        """Whether every row is one step after the row before."""
        return self.single == self.distances and not self.moved


def on_grid(
    frames: Sequence[Frame], frequency: Frequency | None, *, fill: bool | None, zone: str | None, is_given: bool
) -> tuple[list[Frame], Fit]:
    """Convert series to their grids, with a step for every grid point from the first to the last time.

    Inserted steps have NaN for numbers and no categories. They belong to the file of the next step.

    Args:
        frames: the series.
        frequency: their frequency. None if they have no times or only one each; they are then unchanged.
        fill: None rejects series with most rows between grid steps; True moves all rows to the nearest step; False only
            computes the fit.
        zone: the time zone, for the local times of inserted steps.
        is_given: whether the user gave the frequency. Then a series may have a row only every few steps.

    Returns:
        The converted series, and their fit.

    Raises:
        UserError: a series does not fit, or its grid would have many more steps than it has rows.
    """
    fit = Fit()
    if frequency is None:
        return list(frames), fit
    result = []
    for frame in frames:
        if frame.times is None or len(frame) == 0:
            result.append(frame)
            continue
        times = frame.ruler(frequency)
        fit.distances += len(frame) - 1
        if _is_regular(times, frequency):
            fit.single += len(frame) - 1
            result.append(replace(frame, is_regular=True))
            continue
        grid = Grid(frequency, times)
        index, (off, near) = grid.index(times), grid.off(times)
        distance = np.diff(index)
        fit.single += int((distance == 1).sum())
        fit.gaps += int((distance > 1).sum())
        if (off != 0).any():
            fit.moved += int((off != 0).sum())
            furthest = np.abs(times - grid.at(index)).max()
            fit.furthest = furthest if fit.furthest is None else max(fit.furthest, furthest)
        if not (off != 0).any() and (distance == 1).all():
            result.append(replace(frame, is_regular=True))
            continue
        if fill is None:
            _check(frame, frames, frequency, times, near > 0, distance, is_given=is_given)
        if fill is False:
            result.append(frame)
            continue
        kept = _nearest(index, np.abs(off))
        fit.left_out += len(index) - len(kept)
        filled = _placed(frame.taken(kept), grid, index[kept], zone)
        fit.filled += len(filled) - len(kept)
        result.append(filled)
    return result, fit


def extended(frame: Frame, frequency: Frequency | None, count: int, zone: str | None) -> Frame:
    """Append `count` steps to a frame, with times but without values."""
    if count <= 0:
        return frame
    result = frame.taken(np.concatenate([np.arange(len(frame)), np.full(count, len(frame) - 1)]))
    result.values[:, -count:] = np.nan
    result.numbers[-count:] = np.nan
    result.categories[-count:] = None
    if frame.times is None:
        return result
    if frequency is None:
        fix = "data.times.frequency=1d, or the actual frequency"
        raise UserError(
            "data.times.frequency", "a frequency for the future times", "series with one time each", fix=fix
        )
    times = frame.ruler(frequency)
    grid = Grid(frequency, times)
    following = grid.at(grid.index(times[-1:]) + np.arange(1, count + 1))
    return _at(result, np.concatenate([times, following]), frequency, np.arange(len(result)) >= len(frame), zone)


def _is_regular(times: Times, frequency: Frequency) -> bool:
    if frequency.unit in ("b", "mo") or frequency.day is not None:
        return False
    step = np.timedelta64(int(frequency.size), "us") if frequency.unit == "us" else frequency.size
    return frequency.size == int(frequency.size) and bool((np.diff(times) == step).all())


def _nearest(index: NDArray[np.int64], off: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each grid point, the closest of its rows."""
    order = np.lexsort((off, index))
    return order[np.flatnonzero(np.diff(index[order], prepend=index[order[0]] - 1))]  # type: ignore[no-any-return]


def _placed(frame: Frame, grid: Grid, index: NDArray[np.int64], zone: str | None) -> Frame:
    """The frame with its steps at these grid points, and steps without values between them."""
    count = int(index[-1] - index[0]) + 1
    if count > MOST_STEPS * len(frame) + 10_000:
        raise UserError(
            "data.times.frequency",
            f"at most {MOST_STEPS} steps per row, plus 10,000",
            f"{count:,} steps of {grid.frequency} for {len(frame):,} rows" + of(frame),
            fix="data.times.fill_gaps=false, to use rows as steps, or a longer one, such as data.times.frequency=1d",
        )
    places = index[0] + np.arange(count)
    after = np.searchsorted(index, places)  # the row at each grid point, or the next row
    is_put_in = index[after] != places
    result = frame.taken(after)
    result.values[:, is_put_in] = np.nan
    result.numbers[is_put_in] = np.nan
    result.categories[is_put_in] = None
    return _at(result, grid.at(places), grid.frequency, is_put_in, zone)


def _at(frame: Frame, ruler: Times, frequency: Frequency, is_new: NDArray[np.bool_], zone: str | None) -> Frame:
    """The frame with other times. New times have the offset of their zone, else of the time before."""
    if frame.offsets is None:
        return replace(frame, times=ruler, is_regular=True)
    last = np.maximum.accumulate(np.where(is_new, 0, np.arange(len(frame))))
    offsets = frame.offsets[last]
    if zone is not None:
        clock = time_zone(zone)
        offsets = offsets_of_local(ruler, clock)[0] if frequency.is_local else offsets_at(ruler, clock)
    times = ruler - offsets if frequency.is_local else ruler
    return replace(frame, times=times, offsets=offsets, is_regular=True)


def _check(
    frame: Frame,
    frames: Sequence[Frame],
    frequency: Frequency,
    times: Times,
    near: NDArray[np.bool_],
    distance: NDArray[np.int64],
    *,
    is_given: bool,
) -> None:
    if 2 * near.sum() <= len(near) and len(near) > 1:
        row = int((~near).argmax())
        own = detect_frequency([times])
        others = len(frames) > 1 and own is not None and own != frequency
        fix = "data.times.fill_gaps=false, to use the rows as steps and the time between them as an input"
        if (
            others
            and own is not None
            and own.size < frequency.size
            and 2 * Grid(own, times).off(times)[1].sum() > len(times)
        ):
            fix = f"data.times.frequency={own}, to use it for all series, or a file for each frequency"
        elif (distance > 0).all():  # no two rows have the same step
            fix += ", or data.times.fill_gaps=true, to move each row to the nearest step"
        shown = write_stamps(times[row : row + 1], None, None)[0]
        raise UserError(
            "data.times.frequency",
            f"most times of every series {frequency} apart" + ("" if is_given else ", as detected"),
            f"{near.sum():,} of {len(near):,} rows on these steps{of(frame)}; not on them: {shown}",
            fix=fix,
        )
    usual, counts = np.unique(distance, return_counts=True)
    if not is_given and len(distance) > 2 and usual[counts.argmax()] > 1 and 2 * counts.max() > len(distance):
        raise UserError(
            "data.times.frequency",
            f"the same frequency for all series; that of most is {frequency}",
            f"a row every {usual[counts.argmax()]} steps{of(frame)}",
            fix=f"data.times.frequency={frequency}, to insert steps between its rows, or a file for each frequency",
        )


def of(frame: Frame) -> str:
    """The name of the series, for error messages."""
    return f" of series {frame.ids[0]}" if frame.ids and frame.ids[0] else ""
