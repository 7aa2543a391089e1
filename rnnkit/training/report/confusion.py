"""A figure of the confusion matrix after every validation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
from torch import Tensor

from rnnkit.training.report.figure import FigureCallback

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEW = 12
"""The largest number of classes for which the figure shows a number in every cell."""


class ConfusionMatrixFigure(FigureCallback):
    """Draws the task's `confusion()`: None, or names and a matrix [C, C] with a row for each true class.

    Colors are shares of the row, so that rare classes are visible; numbers are counts. See `FigureCallback` for the
    place and the schedule.
    """

    name = "confusion"

    def figure(self, trainer: L.Trainer, task: Any) -> "Figure | None":
        found = task.confusion()
        return None if found is None else draw(*found)


def draw(names: Sequence[str], matrix_CC: Tensor) -> "Figure":
    """Draw a confusion matrix [C, C]; raise ImportError without matplotlib."""
    from matplotlib.figure import Figure

    counts = matrix_CC.numpy()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    side = min(12.0, 2.5 + 0.4 * len(names))
    figure = Figure(figsize=(side + 0.5, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    figure.colorbar(image, label="share of the class", fraction=0.046)
    ticks = range(0, len(names), max(1, len(names) // 40))
    axes.set_xticks(ticks, [_short(names[i]) for i in ticks], rotation=90)
    axes.set_yticks(ticks, [_short(names[i]) for i in ticks])
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    for row, column in np.argwhere(counts > 0) if len(names) <= FEW else ():
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=color, fontsize=8)
    return figure


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"
