"""Settings that follow from the series: what a person would choose, from the training part alone."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rnnkit.data import ForecastData
from rnnkit.data.forecasting.following import context_for, grows_with_level, repeated_lag


def monthly(values_N: NDArray[np.float64], folder: Path) -> Path:
    path = folder / "series.csv"
    months = np.datetime64("2000-01") + np.arange(len(values_N))
    path.write_text("month,y\n" + "".join(f"{month}-01,{y}\n" for month, y in zip(months, values_N, strict=True)))
    return path


SEASON = np.sin(np.arange(144) * np.pi / 6)
GROWING = np.exp(np.arange(144) / 100) * (10 + 4 * SEASON)
WALK = np.cumsum(np.random.default_rng(1).normal(size=144))


@pytest.mark.parametrize(
    ("values_N", "lag", "kind"),
    [(GROWING, 12, "mean"), (100 + 10 * SEASON, 12, "standard"), (WALK, 1, "standard")],
    ids=["growing season", "season", "random walk"],
)
def test_the_forecast_that_a_model_starts_from(
    values_N: NDArray[np.float64], lag: int, kind: str, tmp_path: Path
) -> None:
    data = ForecastData(path=monthly(values_N, tmp_path), horizon=12)
    data.setup()
    found = data.suggestions()
    assert (found["model.linear_lag"], found["model.scaling.kind"], data.scaling) == (lag, kind, kind)
    assert (data.context, data.batch_size) == (found["data.context"], found["data.batch_size"]) == (36, 8)
    assert found["trainer.max_epochs"] == 50


def test_the_test_part_changes_nothing(tmp_path: Path) -> None:
    changed = np.concatenate([GROWING[:100], 1e6 * np.random.default_rng(2).normal(size=44)])
    found = []
    for values_N in (GROWING, changed):
        data = ForecastData(path=monthly(values_N, tmp_path), horizon=6)
        data.setup()
        found.append(data.suggestions())
    assert found[0] == found[1]


def test_what_is_given_stays(tmp_path: Path) -> None:
    data = ForecastData(path=monthly(GROWING, tmp_path), horizon=6, context=10, batch_size=3, scaling="robust")
    data.setup()
    assert (data.context, data.batch_size, data.scaling) == (10, 3, "robust")


def test_series_with_gaps_constants_and_few_steps() -> None:
    gaps = GROWING.copy()
    gaps[::7] = np.nan
    assert repeated_lag([gaps[:, None]], 12, [1, 12]) == 12
    assert repeated_lag([np.full((40, 1), 3.0)], 6, [1, 12]) == 0
    assert repeated_lag([np.full((40, 1), np.nan), np.array([[1.0], [2.0]])], 6, [1, 12]) == 0
    assert not grows_with_level([GROWING[:24, None]], 12)
    assert not grows_with_level([GROWING[:, None] - 20], 12)
    assert context_for(season=12, horizon=12, steps=14) == 1
