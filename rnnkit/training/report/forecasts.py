"""A figure of some forecasts with their intervals after every validation."""

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import lightning as L
import numpy as np
import torch
from annotated_types import Interval
from numpy.typing import NDArray
from torch import Tensor

from rnnkit.ranges import NonNegative
from rnnkit.training.report.figure import FigureCallback

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = (0.025, 0.1, 0.5, 0.9, 0.975)
"""The quantiles of the 95 % and the 80 % interval, and the median."""


class Subplot(NamedTuple):
    """One forecast: past [T] and future [H] of a channel, the median [H] and, if available, the quantiles [5, H]."""

    title: str
    past: NDArray[np.float64]
    truth: NDArray[np.float64]
    forecast: NDArray[np.float64]
    quantiles: NDArray[np.float64] | None


class ForecastFigure(FigureCallback):
    """Draws forecasts of a few windows of the validation split, always the same ones, in the units of the file.

    See `FigureCallback` for the place and the schedule.

    Args:
        windows: the number of windows, spread over the first batch; 0 for none.
        past: the number of steps before the origin, as a multiple of the horizon.
    """

    name = "forecasts"

    def __init__(self, windows: Annotated[int, Interval(ge=0, le=100)] = 4, past: NonNegative = 2.0) -> None:
        super().__init__()
        self.windows, self.past = windows, past

    def figure(self, trainer: L.Trainer, task: Any) -> "Figure | None":
        if not self.windows:
            return None
        batch = next(iter(trainer.datamodule.val_dataloader()))  # type: ignore[attr-defined]
        chosen = torch.linspace(0, len(batch.targets) - 1, min(self.windows, len(batch.targets))).long()
        batch = trainer.strategy.batch_to_device(batch.take(chosen), task.device)
        was_training = task.training
        task.eval()
        subplots = self._subplots(task, batch)
        task.train(was_training)
        return draw(subplots)

    def _subplots(self, task: Any, batch: Any) -> list[Subplot]:
        mean_BHC, quantiles_QBHC = task.forecast(batch, LEVELS)
        location_B1C, scale_B1C = batch.extra.location[:, None], batch.extra.scale[:, None]
        past_BTC = location_B1C + scale_B1C * batch.inputs.past
        truth_BHC = location_B1C + scale_B1C * batch.targets
        subplots = []
        for row in range(len(mean_BHC)):
            channel = row % mean_BHC.shape[2]  # with many channels, each window shows another one
            end = past_BTC.shape[1] if batch.lengths is None else int(batch.lengths[row])
            start = max(0, end - round(self.past * mean_BHC.shape[1]))
            name = task.channels[channel] if channel < len(task.channels) else str(channel)
            quantiles = None if quantiles_QBHC is None else _array(quantiles_QBHC[:, row, :, channel])
            forecast_H = mean_BHC[row, :, channel] if quantiles is None else quantiles_QBHC[2, row, :, channel]
            title = f"{name}, from step {int(batch.extra.origin[row]) + 1:,}"
            past_T, truth_H = past_BTC[row, start:end, channel], truth_BHC[row, :, channel]
            subplots.append(Subplot(title, _array(past_T), _array(truth_H), _array(forecast_H), quantiles))
        return subplots


def draw(subplots: list[Subplot]) -> "Figure":
    """Draw the figure; raise ImportError without matplotlib."""
    from matplotlib.figure import Figure

    columns = min(2, len(subplots))
    lines = -(-len(subplots) // columns)
    figure = Figure(figsize=(6 * columns, 2.6 * lines), layout="constrained")
    for number, subplot in enumerate(subplots, start=1):
        axes = figure.add_subplot(lines, columns, number)
        ahead = np.arange(1, len(subplot.truth) + 1)
        axes.plot(np.arange(1 - len(subplot.past), 1), subplot.past, color="0.5", linewidth=1)
        axes.plot(ahead, subplot.truth, color="black", linewidth=1, label="true")
        axes.plot(ahead, subplot.forecast, color="tab:blue", linewidth=1.5, label="forecast")
        if subplot.quantiles is not None:
            for low, high, share in ((0, 4, "95 %"), (1, 3, "80 %")):
                bounds = subplot.quantiles[low], subplot.quantiles[high]
                axes.fill_between(ahead, *bounds, color="tab:blue", alpha=0.2, linewidth=0, label=share)
        axes.axvline(0, color="0.8", linewidth=1)
        axes.set_title(subplot.title, fontsize=9)
        if number == 1:
            axes.legend(fontsize=8, loc="upper left")
    return figure


def _array(values: Tensor) -> NDArray[np.float64]:
    return values.cpu().double().numpy()
