"""Calendar features: time of day, week, month and year."""

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.frequency import DAY, WEEK, Frequency, Times


def calendar_names(frequency: Frequency | None) -> list[str]:
    """The informative features at a frequency. Daily series, for example, have no time of day.

    >>> from rnnkit.data.forecasting.frequency import parse_frequency
    >>> calendar_names(parse_frequency("1mo"))
    ['year_sin', 'year_cos']
    """
    if frequency is None or not frequency.unit:
        return []
    step = frequency.size if frequency.unit == "us" else frequency.size * 31 * DAY
    cycles = [("day", DAY), ("week", WEEK), ("month", 28 * DAY), ("year", 365 * DAY)]
    return [f"{name}_{wave}" for name, length in cycles if step < length for wave in ("sin", "cos")]


def calendar_features(times: Times, names: list[str]) -> NDArray[np.float32]:
    """Calendar features [N, P]: sine and cosine of the elapsed fraction of the day, week, month or year.

    >>> noon = np.array(["2024-01-01T12:00"], "datetime64[us]")
    >>> calendar_features(noon, ["day_sin", "day_cos"]).round(3).tolist()
    [[0.0, -1.0]]
    """
    columns = []
    for name in names:
        cycle, wave = name.split("_")
        angle = 2 * np.pi * _passed(times, cycle)
        columns.append(np.sin(angle) if wave == "sin" else np.cos(angle))
    return np.stack(columns, 1).astype(np.float32) if columns else np.zeros((len(times), 0), np.float32)


def _passed(times: Times, cycle: str) -> NDArray[np.float64]:
    if cycle == "day":
        return (times - times.astype("datetime64[D]")) / np.timedelta64(1, "D")  # type: ignore[no-any-return]
    if cycle == "week":
        monday = np.datetime64("1970-01-05")
        return ((times - monday) / np.timedelta64(1, "W")) % 1  # type: ignore[no-any-return]
    unit = times.astype("datetime64[M]" if cycle == "month" else "datetime64[Y]")
    start, end = unit.astype(times.dtype), (unit + 1).astype(times.dtype)
    return (times - start) / (end - start)  # type: ignore[no-any-return]
