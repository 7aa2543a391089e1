"""Location and scale of the values of a series."""

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.loading.moments import mean_and_deviation

SCALINGS = ("none", "standard", "mean", "robust")


def location_and_scale(values_NC: NDArray[np.float64], scaling: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""The location that is subtracted from the values of each channel, and the scale that divides them, [C] each.

    .. math::
        \mathrm{standard}: \; \bar{x}, \sqrt{\overline{(x - \bar{x})^2}} \qquad
        \mathrm{mean}: \; 0, \overline{|x|} \qquad
        \mathrm{robust}: \; x_{50\%}, x_{75\%} - x_{25\%} \qquad
        \mathrm{none}: \; 0, 1

    Missing values are ignored. A scale of zero, for a constant channel, is replaced by one. A channel without values
    has NaN for both.

    >>> location_and_scale(np.array([[1.0], [2.0], [np.nan], [6.0]]), "mean")
    (array([0.]), array([3.]))
    """
    x = [channel[~np.isnan(channel)] for channel in values_NC.T]
    if scaling == "none":
        return np.zeros(len(x)), np.ones(len(x))
    pairs = [_pair(channel, scaling) if channel.size else (np.nan, np.nan) for channel in x]
    location, scale = np.array(pairs, np.float64).reshape(-1, 2).T
    # constant up to rounding; scaling would amplify rounding errors
    constant = scale <= 4 * np.finfo(np.float64).eps * np.abs(location)
    return location, np.where(constant, 1.0, scale)


def _pair(x: NDArray[np.float64], scaling: str) -> tuple[float, float]:
    if scaling == "mean":
        return 0.0, float(np.abs(x).mean())
    if scaling == "robust":
        low, middle, high = np.quantile(x, (0.25, 0.5, 0.75))
        return float(middle), float(high - low)
    return mean_and_deviation(x)


def seasonal_error(values_NC: NDArray[np.float64], season: int) -> NDArray[np.float64]:
    r"""The denominator of MASE [C] (Hyndman & Koehler 2006). It is NaN if no two values are a season apart.

    .. math::
        \frac{1}{N - m} \sum_{t=m+1}^{N} |x_t - x_{t-m}|

    >>> seasonal_error(np.array([[1.0], [2.0], [4.0]]), 1)
    array([1.5])
    """
    apart = np.abs(values_NC[season:] - values_NC[:-season])
    seen = ~np.isnan(apart)
    count = seen.sum(0)
    total = np.where(seen, apart, 0.0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
