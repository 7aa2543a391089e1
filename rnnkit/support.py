"""The support of a distribution."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Support:
    """The values that a model can describe.

    Args:
        expected: a description for messages.
        holds: called with values; returns a mask of those in the support. NaN, a missing value, is not checked.
        scalings: the kinds of `data.scaling` that keep values in the support.
        fix: the proposed fix for other values.
    """

    expected: str
    holds: Callable[[NDArray[np.float64]], NDArray[np.bool_]]
    scalings: tuple[str, ...]
    fix: str

    def outside(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return a mask of the values outside of the support."""
        return ~(self.holds(values) | np.isnan(values))
