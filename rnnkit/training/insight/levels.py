"""How often and how much is measured."""

from typing import NamedTuple


class Level(NamedTuple):
    """How often and how much is measured.

    Args:
        every: optimizer steps between two measurements.
        rows: rows of the batch.
        lags: the longest lag.
        layers: layers in one measurement; the others have their turn in the next ones.
        dynamics: measurements between two of the Lyapunov exponents.
        spectrum: whether the Jacobian of a step is computed with them.
        share: the largest share of the training time.
    """

    every: int
    rows: int
    lags: int
    layers: int
    dynamics: int
    spectrum: bool
    share: float


LEVELS = {"light": Level(100, 4, 64, 2, 10, False, 0.02), "full": Level(25, 8, 256, 16, 4, True, 0.15)}
