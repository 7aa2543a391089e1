"""Numerically stable mean and standard deviation."""

import numpy as np
from numpy.typing import NDArray


def mean_and_deviation(x_N: NDArray[np.float64]) -> tuple[float, float]:
    r"""The mean and the standard deviation, in float64.

    .. math:: \bar{x} = x_1 + \overline{x - x_1}, \qquad \sqrt{\overline{(x - \bar{x})^2}}

    Values are shifted by the first value and divided by the largest difference before they are squared. This avoids
    cancellation where the mean is much larger than the deviation, and overflow and underflow of the squares. Equal
    values have a deviation of exactly 0.

    >>> mean_and_deviation(np.array([1e8 + 1, 1e8 - 1, 1e8 + 1, 1e8 - 1]))
    (100000000.0, 1.0)
    >>> mean_and_deviation(np.array([0.1, 0.1, 0.1]))
    (0.1, 0.0)
    """
    if np.abs(x_N).max() > 1e300:  # their differences may overflow
        mean, deviation = mean_and_deviation(x_N * 2.0**-64)
        return mean * 2.0**64, deviation * 2.0**64
    apart_N = x_N - x_N[0]
    largest = float(np.abs(apart_N).max())
    if largest == 0:
        return float(x_N[0]), 0.0
    unit_N = apart_N / largest
    middle = unit_N.mean()
    return float(x_N[0] + largest * middle), float(largest * np.sqrt(np.square(unit_N - middle).mean()))
