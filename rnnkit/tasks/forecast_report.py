"""Forecast metrics of a model beside those of its baselines, as tables."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from rnnkit.batch import SequenceBatch
from rnnkit.tasks.baselines import ets, last_value, seasonal_naive
from rnnkit.tasks.metrics.forecasts import ForecastMetrics
from rnnkit.tasks.metrics.table import table


class Baselines(nn.ModuleDict):
    """Forecasts without training, and their metrics.

    Args:
        horizon: the steps to forecast.
        season: the length of a season in steps; the seasonal naive forecast needs at least 2.
        with_ets: whether exponential smoothing is one of them.
    """

    def __init__(self, horizon: int, season: int, *, with_ets: bool) -> None:
        names = ["last value", *(["seasonal naive"] if season > 1 else []), *(["ets"] if with_ets else [])]
        super().__init__({name: ForecastMetrics(horizon) for name in names})
        self.season = season

    def forecast(self, name: str, batch: SequenceBatch) -> Tensor:
        """Return the forecast [B, H, C] of one baseline in the units of the batch."""
        horizon = batch.targets.shape[1]
        if name == "last value":
            return last_value(batch.inputs, horizon)
        method = ets if name == "ets" else seasonal_naive
        return method(batch.inputs, horizon, self.season, batch.lengths)


def report(
    metrics: ForecastMetrics,
    baselines: Mapping[str, ForecastMetrics],
    named: Callable[[ForecastMetrics], Mapping[str, float]],
) -> str:
    """Return a table of the metrics over all steps, and one of the errors by step.

    Args:
        metrics: those of the model.
        baselines: those of the baselines, by name.
        named: returns the values over all steps by name.
    """
    everyone = {"model": metrics, **baselines}
    columns = list(named(metrics))
    rows: list[list[str | float | int]] = []
    for name, each in everyone.items():
        values = named(each)
        rows.append([name, *(values.get(column, torch.nan) for column in columns)])
    overall = table(["forecast", *columns], rows)
    by_step = {name: each.compute() for name, each in everyone.items()}
    pairs = [(key, name) for key in ("mse", "mae", "rse") for name in everyone]
    rows = []
    for step in sorted({1, *(-(-metrics.horizon * part // 4) for part in (1, 2, 3, 4))}):
        rows.append([str(step), *(float(by_step[name][key][step - 1]) for key, name in pairs)])
    return f"{overall}\n\n{table(['step', *(f'{key} {name}' for key, name in pairs)], rows)}"
