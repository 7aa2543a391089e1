"""Series on the grid of their frequency: every step is as far from the last as all others are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.detection import detect_frequency
from rnnkit.data.forecasting.frames import Frame
from rnnkit.data.forecasting.frequency import Frequency, Times
from rnnkit.data.forecasting.grid import Grid
from rnnkit.data.forecasting.stamps import write_stamps
from rnnkit.data.forecasting.zones import offsets_at, offsets_of_local, time_zone
from rnnkit.errors import UserError

MOST_STEPS = 20
"""For every row of a series, how many steps its grid may have, and 10,000 more."""


@dataclass
class Fit:
    """How the rows of all series lie on the grid of their frequency.

    * `distances`: from a row to the next of its series; `single`: those of them that are one step.
    * `moved`: rows beside the grid, which were moved to the nearest step, by `furthest` at most.
    * `left_out`: rows for whose step another row lies nearer; `filled`: steps without a row, in so many `gaps`.
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
        """Whether every row is one step behind the row before."""
        return self.single == self.distances and not self.moved


def on_grid(
    frames: Sequence[Frame], frequency: Frequency | None, *, fill: bool | None, zone: str | None, is_given: bool
) -> tuple[list[Frame], Fit]:
    """The series with a step for every place of their grid from their first time to their last, and how they fit it.

    What is put in has NaN for numbers and no categories, and counts to the file of the step that follows.

    Args:
        frames: the series.
        frequency: theirs; None where they have no times, or one each: they stay as they are.
        fill: None, refuse a series of which most rows lie beside the grid; True, move all rows to the nearest step;
            False, only look how they fit.
        zone: the time zone, for the local time of steps that are put in.
        is_given: whether the user has given the frequency, also for series that have a row every few steps only.

    Raises:
        UserError: naming a series that does not fit, or whose grid would have far more steps than it has rows.
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
    """The frame with `count` more steps behind its end, of which nothing is known but their times."""
    if count <= 0:
        return frame
    result = frame.taken(np.concatenate([np.arange(len(frame)), np.full(count, len(frame) - 1)]))
    result.values[:, -count:] = np.nan
    result.numbers[-count:] = np.nan
    result.categories[-count:] = None
    if frame.times is None:
        return result
    if frequency is None:
        fix = "data.frequency=1d, whatever it is"
        raise UserError("data.frequency", "one for the times to come", "series of one time each", fix=fix)
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
    """Of the rows of each place the one that lies nearest to it."""
    order = np.lexsort((off, index))
    return order[np.flatnonzero(np.diff(index[order], prepend=index[order[0]] - 1))]  # type: ignore[no-any-return]


def _placed(frame: Frame, grid: Grid, index: NDArray[np.int64], zone: str | None) -> Frame:
    """The frame with its steps at these places, and steps without values between them."""
    count = int(index[-1] - index[0]) + 1
    if count > MOST_STEPS * len(frame) + 10_000:
        raise UserError(
            "data.frequency",
            f"at most {MOST_STEPS} steps for every row, and 10,000 more",
            f"{count:,} steps of {grid.frequency} for {len(frame):,} rows" + of(frame),
            fix="data.fill_gaps=false, to take the rows as steps, or data.frequency=1d, a longer one",
        )
    places = index[0] + np.arange(count)
    after = np.searchsorted(index, places)  # the row that stands in each place or is the next
    is_put_in = index[after] != places
    result = frame.taken(after)
    result.values[:, is_put_in] = np.nan
    result.numbers[is_put_in] = np.nan
    result.categories[is_put_in] = None
    return _at(result, grid.at(places), grid.frequency, is_put_in, zone)


def _at(frame: Frame, ruler: Times, frequency: Frequency, is_new: NDArray[np.bool_], zone: str | None) -> Frame:
    """The frame with other times on its ruler; new ones have the offset of their zone, else of the time before."""
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
        fix = "data.fill_gaps=false, to take the rows as steps and the time between them as an input"
        if (
            others
            and own is not None
            and own.size < frequency.size
            and 2 * Grid(own, times).off(times)[1].sum() > len(times)
        ):
            fix = f"data.frequency={own}, to have all series on it, or a file for each frequency"
        elif (distance > 0).all():  # no two rows would share a step
            fix += ", or data.fill_gaps=true, to move each row to the nearest step"
        shown = write_stamps(times[row : row + 1], None, None)[0]
        raise UserError(
            "data.frequency",
            f"most times of every series {frequency} apart" + ("" if is_given else ", as found"),
            f"{near.sum():,} of {len(near):,} rows on such steps{of(frame)}; not so {shown}",
            fix=fix,
        )
    usual, counts = np.unique(distance, return_counts=True)
    if not is_given and len(distance) > 2 and usual[counts.argmax()] > 1 and 2 * counts.max() > len(distance):
        raise UserError(
            "data.frequency",
            f"one for all series: {frequency} is that of most",
            f"a row every {usual[counts.argmax()]} steps{of(frame)}",
            fix=f"data.frequency={frequency}, to have missing steps between its rows, or a file for each frequency",
        )


def of(frame: Frame) -> str:
    """Which series a message is about."""
    return f" of series {frame.ids[0]}" if frame.ids and frame.ids[0] else ""
