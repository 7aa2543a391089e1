"""The windows of each split."""

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.division import assert_disjoint, observed, origins
from rnnkit.data.forecasting.panel import Panel
from rnnkit.data.forecasting.source import SPLITS
from rnnkit.data.forecasting.windows import Shape, Windows


def divided(
    panel: Panel, ends_S3: NDArray[np.int64], shape: Shape, strides: tuple[int, int, int], draws: int | None, seed: int
) -> tuple[dict[str, Windows], str]:
    """Return the windows of each split that has any, and a description of their numbers.

    Windows without any value in the future (in training, also in the past) are dropped and counted.

    Args:
        panel: the series.
        ends_S3: for each series, the ends of the training, validation and test splits.
        shape: the shape of a window.
        strides: for each split, the steps between the origins of two windows.
        draws: training windows per series and epoch, drawn at random; None uses all.
        seed: of the draws.
    """
    found = origins(panel, ends_S3, shape.context, shape.horizon, strides)
    assert_disjoint(found, len(panel), shape.horizon)
    splits, counts = {}, []
    for number, name in enumerate(SPLITS):
        series, origin = found[name]
        past, future = observed(panel, series, origin, shape.context, shape.horizon)
        kept = past & future if name == "train" else future
        left = f" ({len(kept) - kept.sum():,} windows without a value dropped)" if len(kept) > kept.sum() else ""
        if len(kept):
            counts.append(f"{name} {kept.sum():,}{left}")
        if kept.any():
            before = ends_S3[:, max(0, number - 1)]
            drawn = draws if name == "train" else None
            splits[name] = Windows(panel, shape, series[kept], origin[kept], before, drawn, seed)
    return splits, ", ".join(counts)
