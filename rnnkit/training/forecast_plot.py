"""Some forecasts with their intervals: a picture after every validation."""

import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from torch import Tensor

from rnnkit.data.atomic import replacing

SECONDS = 10.0
"""Least time between two pictures: one takes about half a second, as long as many epochs of a small data set."""

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
"""Quantiles between which the 95 % and the 80 % interval lie, and the median."""


class Panel(NamedTuple):
    """One forecast: the past [T] and the future [H] of a channel, the median [H] and, where known, quantiles [5, H]."""

    title: str
    past: NDArray[np.float32]
    truth: NDArray[np.float32]
    forecast: NDArray[np.float32]
    quantiles: NDArray[np.float32] | None


class ForecastPicture(L.Callback):
    """Draws forecasts of a few windows of the validation split, the same ones each time, in the units of the file.

    In TensorBoard as `val/forecasts` and, the newest, as `forecasts.png` in the run folder, after validations that are
    `SECONDS` apart and after the last one. Without matplotlib there is one warning and no picture.

    Args:
        windows: how many windows, spread over the first batch; 0 for none.
        past: steps before the origin that are drawn, as a multiple of the horizon.
    """

    def __init__(self, windows: int = 4, past: float = 2.0) -> None:
        self.windows, self.past = windows, past
        self._drawn = -SECONDS
        self._is_due = False
        self._is_possible = windows > 0

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
        if not (self._is_due and boards):
            return
        self._is_due = False
        was_training = task.training
        task.eval()
        pixels = self._pixels(trainer, task)
        task.train(was_training)
        if pixels is None:
            return
        from matplotlib.image import imsave

        for board in boards:
            board.experiment.add_image("val/forecasts", pixels, trainer.global_step, dataformats="HWC")
            with replacing(Path(board.log_dir) / "forecasts.png") as part:
                imsave(part, pixels, format="png")
        self._drawn = time.monotonic()

    def _pixels(self, trainer: L.Trainer, task: Any) -> NDArray[np.uint8] | None:
        batch = next(iter(trainer.datamodule.val_dataloader()))  # type: ignore[attr-defined]
        chosen = torch.linspace(0, len(batch.targets) - 1, min(self.windows, len(batch.targets))).long()
        batch = trainer.strategy.batch_to_device(_only(batch, chosen), task.device)
        try:
            return draw(self._panels(task, batch))
        except ImportError:
            self._is_possible = False
            message = "no picture of the forecasts: matplotlib is missing. Try: pip install 'rnnkit[viz]'"
            warnings.warn(message, stacklevel=2)
            return None

    def _panels(self, task: Any, batch: Any) -> list[Panel]:
        mean_BHC, quantiles_QBHC = task.forecast(batch, LEVELS)
        location_B1C, scale_B1C = batch.inputs.location[:, None], batch.inputs.scale[:, None]
        past_BTC = location_B1C + scale_B1C * batch.inputs.past
        truth_BHC = location_B1C + scale_B1C * batch.targets
        panels = []
        for lane in range(len(mean_BHC)):
            channel = lane % mean_BHC.shape[2]  # of many channels, each window shows another
            end = past_BTC.shape[1] if batch.lengths is None else int(batch.lengths[lane])
            start = max(0, end - round(self.past * mean_BHC.shape[1]))
            name = task.channels[channel] if channel < len(task.channels) else str(channel)
            quantiles = None if quantiles_QBHC is None else _array(quantiles_QBHC[:, lane, :, channel])
            forecast_H = mean_BHC[lane, :, channel] if quantiles is None else quantiles_QBHC[2, lane, :, channel]
            title = f"{name}, from step {int(batch.inputs.step[lane]) + 1:,}"
            past_T, truth_H = past_BTC[lane, start:end, channel], truth_BHC[lane, :, channel]
            panels.append(Panel(title, _array(past_T), _array(truth_H), _array(forecast_H), quantiles))
        return panels


def draw(panels: list[Panel]) -> NDArray[np.uint8]:
    """The picture as pixels [height, width, 3]; ImportError without matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(6 * columns, 2.6 * lines), layout="constrained")
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(lines, columns, number)
        ahead = np.arange(1, len(panel.truth) + 1)
        axes.plot(np.arange(1 - len(panel.past), 1), panel.past, color="0.5", linewidth=1)
        axes.plot(ahead, panel.truth, color="black", linewidth=1, label="true")
        axes.plot(ahead, panel.forecast, color="tab:blue", linewidth=1.5, label="forecast")
        if panel.quantiles is not None:
            for low, high, share in ((0, 4, "95 %"), (1, 3, "80 %")):
                bounds = panel.quantiles[low], panel.quantiles[high]
                axes.fill_between(ahead, *bounds, color="tab:blue", alpha=0.2, linewidth=0, label=share)
        axes.axvline(0, color="0.8", linewidth=1)
        axes.set_title(panel.title, fontsize=9)
        if number == 1:
            axes.legend(fontsize=8, loc="upper left")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _only(batch: Any, chosen: Tensor) -> Any:
    """The batch of the chosen lanes."""
    inputs = type(batch.inputs)(*(field[chosen] for field in batch.inputs))
    lengths = None if batch.lengths is None else batch.lengths[chosen]
    valid = None if lengths is None else int(lengths.sum())
    return batch._replace(inputs=inputs, targets=batch.targets[chosen], lengths=lengths, valid=valid)


def _array(values: Tensor) -> NDArray[np.float32]:
    return values.float().cpu().numpy()
