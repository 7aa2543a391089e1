"""Numbers that may stand for missing values."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rnnkit.quoting import assignment


def sentinel_lines(values_NC: NDArray[np.float64], names: Sequence[str]) -> list[str]:
    """Numbers that may stand for missing values: a negative whole number, repeated and far below all others."""
    lines = []
    for values_N, name in zip(values_NC.T, names, strict=True):
        low = np.nanmin(values_N, initial=0.0)
        if low == int(low) and low < 0:
            rest = values_N[values_N > low]
            count = int((values_N == low).sum())
            if count > 2 and len(rest) and rest.min() - low > 0.5 * (rest.max() - rest.min()):
                fix = assignment("data.table.missing", [int(low)])
                lines.append(f"{name!r}: {low:g} occurs {count:,} times, far below all others: {fix} if it is missing")
    return lines
