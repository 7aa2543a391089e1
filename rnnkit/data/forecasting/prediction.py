"""Steps to forecast after the end of a file, and output rows of forecasts."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rnnkit.data.forecasting.frame import Frame
from rnnkit.data.forecasting.frequency import Frequency
from rnnkit.data.forecasting.regular import extended
from rnnkit.data.forecasting.windows import Window
from rnnkit.data.io.times.stamps import write_stamps
from rnnkit.errors import UserError
from rnnkit.predictions import ForecastPrediction


def with_future(
    frame: Frame, horizon: int, frequency: Frequency | None, known_covariates: Sequence[str], zone: str | None
) -> tuple[Frame, int]:
    """Extend a frame by the steps to forecast.

    With known covariates, the file must have these steps: they start after the last target value.

    Returns:
        The extended frame, and the first step to forecast.

    Raises:
        UserError: the file has no known covariates for these steps, or a series has no value.
    """
    end = len(frame)
    of = f" of series {frame.ids[0]}" if frame.ids[0] else ""
    if known_covariates:
        seen = np.flatnonzero(~np.isnan(frame.values).all((0, 2)))
        end = int(seen[-1]) + 1 if len(seen) else 0
        if len(frame) < end + horizon:
            raise UserError(
                "--input",
                f"{horizon} rows after the last target{of}, with {', '.join(known_covariates)}, which the model needs",
                f"{len(frame) - end}",
                fix="adding rows with an empty target",
            )
    if end == 0:
        raise UserError("--input", f"at least one value{of}", "none", fix="a file without that series")
    return extended(frame, frequency, end + horizon - len(frame), zone), end


def forecast_rows(
    window: Window, prediction: ForecastPrediction, channels: Sequence[str], time_format: str | None
) -> Iterator[dict[str, Any]]:
    """Yield a row per step and channel: series (if it has a name), time or number of the step, mean, and quantiles.

    Times have the format and the zone of the file.
    """
    panel = window.source.panel
    frame, series = panel.frames[window.series], panel.ids[window.series]
    times = None
    if frame.times is not None:
        future = slice(window.origin, window.origin + len(prediction.mean))
        offsets = None if frame.offsets is None else frame.offsets[future]
        times = write_stamps(frame.times[future], offsets, time_format)
    for ahead, means in enumerate(prediction.mean):
        for channel, name in enumerate(channels):
            yield {
                **({"id": series} if series else {}),
                **({"step": window.origin + ahead + 1} if times is None else {"time": times[ahead]}),
                "channel": name,
                "mean": means[channel],
                **{f"q{level}": values[ahead][channel] for level, values in prediction.quantiles.items()},
            }
