"""Settings of a forecast that follow from the series, where the user leaves them open."""

from collections.abc import Iterable, Sequence
from math import ceil, log2
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

STEPS_OF_A_RUN = 300
"""The number of optimizer steps in which a small model learns a small series."""
EPOCHS = (10, 50)
"""The fewest and the most epochs."""
BATCH_SIZES = (8, 256)
"""The smallest and the largest batch."""
MANY_WINDOWS = 10_000
"""The number of training windows from which a model has 64 hidden units and not 32."""
MOST_VALUES = 200_000
"""The number of values from which lags are compared."""


class Choices(NamedTuple):
    """What follows from the training part of the series.

    Args:
        context: the number of past steps.
        scaling: of series and of windows.
        lag: the lag whose repetition a model starts from; 0 for none.
    """

    context: int
    scaling: Literal["mean", "standard"]
    lag: int

    @classmethod
    def of(
        cls, series: Sequence[NDArray[np.float64]], season: int, horizon: int, context: int | None = None
    ) -> "Choices":
        """Choose by the training part [N, C] of each series, for a given context if there is one."""
        steps = int(np.median([len(x_NC) for x_NC in series])) if series else 0
        context = context_for(season, horizon, steps) if context is None else context
        lag = repeated_lag(series, horizon, [lag for lag in (1, season, horizon) if lag <= context])
        return cls(context, "mean" if lag > 1 and grows_with_level(series, lag) else "standard", lag)

    def suggestions(self, windows: int, batch_size: int) -> dict[str, Any]:
        """Return values for the keys of a configuration, given the number of training windows."""
        return {
            "data.context": self.context,
            "data.scaling": self.scaling,
            "data.batch_size": batch_size,
            "model.scaling.kind": self.scaling,
            "model.linear": self.context if self.lag else 0,
            "model.linear_lag": self.lag,
            "model.hidden_size": hidden_size_for(windows),
            "trainer.max_epochs": epochs_for(windows, batch_size),
        }


def context_for(season: int, horizon: int, steps: int) -> int:
    """The number of past steps: three seasons or horizons, but at most half of the training steps of a series.

    >>> context_for(12, 12, 100), context_for(12, 12, 40)
    (36, 14)
    """
    return max(1, min(3 * max(season, horizon), (steps - horizon) // 2))


def batch_size_for(windows: int) -> int:
    """The number of windows in a batch, a power of two: 50 batches or more in an epoch, if there are enough windows.

    >>> batch_size_for(53), batch_size_for(2631), batch_size_for(175_066)
    (8, 32, 256)
    """
    smallest, largest = BATCH_SIZES
    return int(min(max(2 ** int(log2(max(windows, 50) / 50)), smallest), largest))


def epochs_for(windows: int, batch_size: int) -> int:
    """The number of epochs: those of 300 optimizer steps, but 10 to 50.

    >>> epochs_for(53, 8), epochs_for(175_066, 256)
    (50, 10)
    """
    fewest, most = EPOCHS
    return min(max(ceil(STEPS_OF_A_RUN / max(1, windows // batch_size)), fewest), most)


def hidden_size_for(windows: int) -> int:
    """The number of hidden units."""
    return 64 if windows >= MANY_WINDOWS else 32


def repeated_lag(series: Sequence[NDArray[np.float64]], horizon: int, lags: Iterable[int]) -> int:
    """The lag whose values, repeated over the horizon, forecast the series [N, C] best; 0 if their mean is better.

    >>> repeated_lag([np.array([1.0, 5.0, 2.0] * 9)[:, None]], horizon=4, lags=[1, 3])
    3
    """
    series = _some(series)
    best, least = 0, _mean(np.abs(x_NC - np.nanmean(x_NC, 0)) / _spread(x_NC) for x_NC in series)
    for lag in sorted(set(lags)):
        error = _mean(_errors(x_NC, lag, horizon) / _spread(x_NC) for x_NC in series if len(x_NC) > lag + horizon)
        if error < least:
            best, least = lag, error
    return best


def grows_with_level(series: Sequence[NDArray[np.float64]], season: int) -> bool:
    """Whether all values are positive and the spread within a season grows with its level, in most channels.

    >>> level = np.repeat(np.arange(1.0, 9.0), 12) * (2 + np.sin(np.arange(96) * np.pi / 6))
    >>> grows_with_level([level[:, None]], 12), grows_with_level([10 + np.sin(np.arange(96.0))[:, None]], 12)
    (True, False)
    """
    found = [_is_proportional(x_NC[:, channel], season) for x_NC in _some(series) for channel in range(x_NC.shape[1])]
    return sum(found) * 2 > len(found)


def _is_proportional(x_N: NDArray[np.float64], season: int) -> bool:
    blocks = len(x_N) // season
    if season < 4 or blocks < 6 or not np.nanmin(x_N, initial=np.inf) > 0:
        return False
    x_BS = x_N[len(x_N) - blocks * season :].reshape(blocks, season)
    x_BS = x_BS[~np.isnan(x_BS).any(1)]
    if len(x_BS) < 6:
        return False
    level_B, spread_B = x_BS.mean(1), x_BS.std(1)
    if level_B.max() < 1.5 * level_B.min() or not spread_B.min() > 0:
        return False
    return bool(np.corrcoef(np.log(level_B), np.log(spread_B))[0, 1] > 0.9)


def _errors(x_NC: NDArray[np.float64], lag: int, horizon: int) -> NDArray[np.float64]:
    """The absolute errors of repeating the last `lag` values, one row for each step ahead and origin."""
    found = []
    for ahead in range(1, horizon + 1):
        back = lag * ceil(ahead / lag) - ahead  # how far before the origin the repeated value is
        origin_N = np.arange(lag, len(x_NC) - ahead + 1)
        found.append(np.abs(x_NC[origin_N - 1 + ahead] - x_NC[origin_N - 1 - back]))
    return np.concatenate(found)


def _some(series: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """The ends of series that have values, as many as are compared."""
    share = max(1000, MOST_VALUES // max(1, len(series)))
    known = [x_NC[-share:] for x_NC in series[: MOST_VALUES // 1000]]
    return [x_NC for x_NC in known if (~np.isnan(x_NC)).any(0).all()]


def _spread(x_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    spread_C = np.nanstd(x_NC, 0)
    return np.where(spread_C > 0, spread_C, 1)


def _mean(parts: Iterable[NDArray[np.float64]]) -> float:
    found = [value for part in parts if (value := np.nanmean(part) if (~np.isnan(part)).any() else None) is not None]
    return float(np.mean(found)) if found else np.inf
