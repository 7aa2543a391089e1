"""Missing rows as steps without values."""

from dataclasses import replace

import numpy as np

from rnnkit.data.forecasting.frames import Frame
from rnnkit.data.forecasting.frequency import Frequency
from rnnkit.errors import UserError


def filled(frame: Frame, frequency: Frequency | None) -> Frame:
    """The frame with a step for every multiple of the frequency between its first time and its last.

    What is put in has NaN for numbers and no categories, and counts to the file of the step that follows.

    Raises UserError where there are no times, or they lie on no such grid.
    """
    if frequency is None or frame.times is None:
        fix = "data.fill_gaps=false, or data.time=column"
        raise UserError("data.fill_gaps", "time stamps", "a file without them", fix=fix)
    exact = frequency.positions(frame.times)
    steps = np.round(exact - exact[0]).astype(np.int64)
    off = np.abs(exact - exact[0] - steps) > 1e-6 * np.maximum(1, np.abs(exact))
    off[1:] |= np.diff(steps) == 0
    if off.any():
        row = int(off.argmax())
        raise UserError(
            "data.fill_gaps",
            f"times that are multiples of {frequency} apart",
            f"{frame.times[row]} in a series that begins at {frame.times[0]}",
            fix="data.fill_gaps=false, to give the model the time between steps instead",
        )
    count = int(steps[-1]) + 1
    if count == len(frame):
        return frame
    after = np.searchsorted(steps, np.arange(count))  # the row that stands in each place or is the next
    is_put_in = steps[after] != np.arange(count)
    result = frame.taken(after)
    times = np.concatenate([frame.times[:1], frequency.after(frame.times[:1], count - 1)])
    if frequency.unit == "mo":  # from the first day alone its ends of months cannot be told
        times = np.where(is_put_in, times, frame.times[after])
    result.values[:, is_put_in] = np.nan
    result.numbers[is_put_in] = np.nan
    result.categories[is_put_in] = None
    return replace(result, times=times)


def extended(frame: Frame, frequency: Frequency | None, count: int) -> Frame:
    """The frame with `count` more steps behind its end, of which nothing is known but their times."""
    if count <= 0:
        return frame
    result = frame.taken(np.concatenate([np.arange(len(frame)), np.full(count, len(frame) - 1)]))
    result.values[:, -count:] = np.nan
    result.numbers[-count:] = np.nan
    result.categories[-count:] = None
    if frame.times is None:
        return result
    assert frequency is not None
    return replace(result, times=np.concatenate([frame.times, frequency.after(frame.times, count)]))
