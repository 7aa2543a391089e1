"""Base class of figures that are drawn during training, for TensorBoard and as files in the run folder."""

import gc
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray

from rnnkit.files import replacing
from rnnkit.training.report.loggers import boards

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECONDS = 10.0
"""The least time between two figures: drawing takes up to half a second, as long as many epochs of a small data set."""


class FigureCallback(L.Callback, ABC):
    """Draws a figure after validations that are at least `SECONDS` apart, and after the last one.

    It is logged to TensorBoard as `val/NAME`, and the latest is saved as `NAME.png` in the run folder. Without
    matplotlib there is one warning and no figure.
    """

    name: str
    """The name of the figure, one word."""

    def __init__(self) -> None:
        self._drawn = -SECONDS
        self._is_due = False
        self._is_possible = True

    @abstractmethod
    def figure(self, trainer: L.Trainer, task: Any) -> "Figure | None":
        """Return the figure, or None if there is nothing to draw; raise ImportError without matplotlib."""

    @rank_zero_only
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._is_due = self._is_possible and not trainer.sanity_checking
        if time.monotonic() - self._drawn >= SECONDS:
            self._draw(trainer, pl_module)

    @rank_zero_only
    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._draw(trainer, pl_module)

    def _draw(self, trainer: L.Trainer, task: Any) -> None:
        if not (self._is_due and boards(trainer)):
            return
        self._is_due = False
        try:
            with collected_at_once():
                pixels = self._pixels(trainer, task)
        except ImportError:
            self._is_possible = False
            message = f"no figure of the {self.name}: matplotlib is missing. Try: pip install 'rnnkit[viz]'"
            warnings.warn(message, stacklevel=2)
            return
        if pixels is None:
            return
        from matplotlib.image import imsave

        for board in boards(trainer):
            board.experiment.add_image(f"val/{self.name}", pixels, trainer.global_step, dataformats="HWC")
            with replacing(Path(board.log_dir) / f"{self.name}.png") as part:
                imsave(part, pixels, format="png")
        self._drawn = time.monotonic()

    def _pixels(self, trainer: L.Trainer, task: Any) -> NDArray[np.uint8] | None:
        figure = self.figure(trainer, task)
        return None if figure is None else rasterized(figure)


@contextmanager
def collected_at_once() -> Iterator[None]:
    """Free what is allocated and dropped in the block at its end, reference cycles included.

    A figure consists of thousands of objects in cycles. Python's collector would run while they are in use, and next
    only when the half million objects of torch have grown by a quarter: forty figures later.
    """
    was_enabled = gc.isenabled()
    gc.disable()  # so that all objects stay in the youngest generation, which is collected quickly
    try:
        yield
    finally:
        gc.collect(0)
        if was_enabled:
            gc.enable()


def rasterized(figure: "Figure") -> NDArray[np.uint8]:
    """Return a figure as pixels [height, width, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
