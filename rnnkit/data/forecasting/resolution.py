"""Checks of the floating-point resolution of scaled values."""

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.panel import Panel
from rnnkit.errors import UserError

LARGEST = float(np.finfo(np.float32).max)
"""The resolution of single precision, in which models compute."""


def check_resolution(scaled_VC: NDArray[np.float64], scale_SC: NDArray[np.float64], panel: Panel, scaling: str) -> None:
    """Check that scaled values are not too large, and that an outlier does not make most other values equal.

    Args:
        scaled_VC: the scaled values of the panel.
        scale_SC: the scales of its series.
        panel: the series.
        scaling: the kind of scaling.

    Raises:
        UserError: a check fails. The message has the series.
    """
    large_VC = np.abs(scaled_VC) > LARGEST
    if large_VC.any():
        row, channel = np.argwhere(large_VC)[0].tolist()
        series = int(np.searchsorted(panel.starts, row, side="right")) - 1
        raise UserError(
            "data.scaling",
            f"values below {LARGEST:.2g} after scaling ({scaling})",
            f"{panel.values[row, channel]:g} at step {row - int(panel.starts[series]) + 1:,}{_of(panel, series)}",
            fix="data.scaling=standard" if scaling == "none" else "an empty cell instead, or another data.target",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        steps_VC = np.abs(np.diff(panel.values, axis=0))
        left_VC = np.abs(np.diff(scaled_VC, axis=0)) * scale_SC.repeat(panel.lengths, 0)[1:]
        lost_VC = np.abs(left_VC - steps_VC) > 1e-3 * steps_VC
    if not lost_VC.any():
        return
    for series, (start, steps) in enumerate(zip(panel.starts.tolist(), panel.lengths.tolist(), strict=True)):
        within = slice(start, start + steps - 1)
        if (2 * lost_VC[within].sum(0) > (steps_VC[within] > 0).sum(0)).any():
            values = panel.of_series(series)
            largest = values.flat[np.nanargmax(np.abs(values))]
            raise UserError(
                "data.scaling",
                f"values that remain distinct after scaling ({scaling})",
                f"{largest:g}{_of(panel, series)}, compared to which most others become equal",
                fix="an empty cell instead" if scaling == "robust" else "data.scaling=robust",
            )


def _of(panel: Panel, series: int) -> str:
    return f" of series {panel.ids[series]}" if panel.ids[series] else ""
