"""A report on how series were read."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnkit.data.forecasting.format import Format
from rnnkit.data.forecasting.frame import Frame
from rnnkit.data.forecasting.frequency import Frequency
from rnnkit.data.forecasting.panel import Panel
from rnnkit.data.forecasting.regular import Fit
from rnnkit.data.io.times.stamps import write_stamps


def extent_lines(frames: Sequence[Frame], form: Format, source: str) -> list[str]:
    """The numbers of series, channels and rows, and the time range."""
    series, rows = sum(len(frame.ids) for frame in frames), sum(map(len, frames))
    channels = frames[0].values.shape[2]
    size = f"{series:,} series" + (f" of {channels:,} channels" if channels > 1 else "") + f", {rows:,} rows"
    begun = [frame for frame in frames if frame.times is not None and len(frame)]
    if not begun:
        return [f"{source}: {size}"]
    first = min(begun, key=lambda frame: frame.times[0])  # type: ignore[index]
    last = max(begun, key=lambda frame: frame.times[-1])  # type: ignore[index]
    span = " to ".join(_time(frame, step, form) for frame, step in ((first, 0), (last, -1)))
    if form.time_zone is not None:
        return [f"{source}: {size}, {span} ({form.time_zone})"]
    changes = sum(len(_offsets(frame)) > 1 for frame in begun)
    lines = [f"{source}: {size}, {span}"]
    if changes:
        shown = ", ".join(
            f"{zone / 60:+.4g} h" for zone in sorted({zone for frame in begun for zone in _offsets(frame)})
        )
        lines.append(
            f"the offset from UTC changes in {changes:,} series ({shown}): future times have the last one, unless "
            "data.times.zone names the zone, such as Europe/Berlin"
        )
    return lines


def grid_lines(
    fit: Fit, frequency: Frequency | None, season: int | None, *, is_given: bool, fill: bool | None
) -> list[str]:
    """The frequency, the season and the number of rows that fit, then how all other rows were handled."""
    if frequency is None:
        return [f"steps are rows, season {season}"]
    meaning = f" ({frequency.meaning})" if frequency.meaning else ""
    share = f"{fit.single:,} of {fit.distances:,} rows follow the row before by one step"
    lines = [f"frequency {frequency}{meaning}{', as given' if is_given else ''}, season {season}: {share}"]
    if fit.moved and fill is False:
        lines.append(
            f"{fit.moved:,} rows are between steps, by {_span(fit.furthest)} at most (data.times.fill_gaps=false)"
        )
    elif fit.moved:
        left = f"; {fit.left_out:,} of them are dropped, because another row is closer" if fit.left_out else ""
        lines.append(
            f"{fit.moved:,} rows between steps were moved to the nearest step, by {_span(fit.furthest)} at most{left}"
        )
    if fit.gaps and fill is False:
        lines.append(f"rows are missing in {fit.gaps:,} places and were not inserted (data.times.fill_gaps=false)")
    elif fit.gaps:
        lines.append(f"missing rows: {fit.filled:,} in {fit.gaps:,} places, inserted as steps without values")
    return lines


def missing_line(panel: Panel) -> str:
    """The percentage of missing values."""
    return f"missing: {100 * np.isnan(panel.values).mean():.3g} % of {panel.values.size:,} values"


def _time(frame: Frame, step: int, form: Format) -> str:
    at = slice(step, None) if step < 0 else slice(step, step + 1)
    assert frame.times is not None
    offsets = None if frame.offsets is None else frame.offsets[at]
    return str(write_stamps(frame.times[at], offsets, form.time_format)[0])


def _offsets(frame: Frame) -> list[int]:
    return [] if frame.offsets is None else np.unique(frame.offsets.astype("timedelta64[m]").astype(int)).tolist()


def _span(length: Any) -> str:
    if not isinstance(length, np.timedelta64):
        return f"{length:.6g}"
    seconds = length / np.timedelta64(1, "s")
    for name, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.6g} s"
