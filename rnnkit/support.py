"""The values that a distribution can have."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Support:
    """What values have to be, for a model that speaks of no others.

    * `expected`: in words, for messages.
    * `holds`: called with values; returns which of them can be; NaN, a missing value, is not asked about.
    * `scalings`: the kinds of `data.scaling` that keep them so.
    * `fix`: what to try where values are others.
    """

    expected: str
    holds: Callable[[NDArray[np.float64]], NDArray[np.bool_]]
    scalings: tuple[str, ...]
    fix: str

    def outside(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which values cannot be."""
        return ~(self.holds(values) | np.isnan(values))
