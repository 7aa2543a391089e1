"""Which class is taken for which: a picture after every validation."""

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from torch import Tensor

from rnnkit.data.atomic import replacing

FEW = 12
"""Classes up to which the picture has a number in every cell."""

SECONDS = 10.0
"""Least time between two pictures: one takes up to half a second, as long as many epochs of a small data set."""


class ConfusionPicture(L.Callback):
    """Draws the task's `confusion()`, names and a matrix [C, C] with a row for each true class, or None.

    In TensorBoard as `val/confusion` and, the newest, as `confusion.png` in the run folder, after validations that are
    `SECONDS` apart and after the last one. Colours are shares of the row, so that rare classes are seen too; numbers
    are counts. Without matplotlib there is one warning and no picture.
    """

    def __init__(self) -> None:
        self._drawn = -SECONDS
        self._is_due = False
        self._is_possible = True

    @rank_zero_only
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._is_due = self._is_possible and not trainer.sanity_checking
        if time.monotonic() - self._drawn >= SECONDS:
            self._draw(trainer, pl_module)

    @rank_zero_only
    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._draw(trainer, pl_module)

    def _draw(self, trainer: L.Trainer, task: Any) -> None:
        boards = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        found = task.confusion() if self._is_due and boards else None
        self._is_due = False
        if found is None:
            return
        try:
            pixels = draw(*found)
        except ImportError:
            self._is_possible = False
            message = "no picture of the confusion matrix: matplotlib is missing. Try: pip install 'rnnkit[viz]'"
            warnings.warn(message, stacklevel=2)
            return
        from matplotlib.image import imsave

        for board in boards:
            board.experiment.add_image("val/confusion", pixels, trainer.global_step, dataformats="HWC")
            with replacing(Path(board.log_dir) / "confusion.png") as part:
                imsave(part, pixels, format="png")
        self._drawn = time.monotonic()


def draw(names: Sequence[str], matrix_CC: Tensor) -> NDArray[np.uint8]:
    """The picture of a confusion matrix [C, C] as pixels [height, width, 3]; ImportError without matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
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
    axes.set_xlabel("said")
    axes.set_ylabel("true")
    for row, column in np.argwhere(counts > 0) if len(names) <= FEW else ():
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=8)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"
