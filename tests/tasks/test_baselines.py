"""Baselines against loops over plain lists, and against the figures that others have published for them."""

import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rnnkit.batch import ForecastInputs
from rnnkit.data import ForecastData
from rnnkit.errors import UserError
from rnnkit.tasks.baselines import drift, ets, last_value, seasonal_naive


def windows(lanes: int = 6, steps: int = 17, channels: int = 2, missing: float = 0.3) -> tuple[Tensor, Tensor]:
    """Random pasts of several lengths with holes in them, padded."""
    x_BTC = torch.randn(lanes, steps, channels)
    x_BTC[torch.rand(x_BTC.shape) < missing] = torch.nan
    lengths_B = torch.randint(3, steps + 1, (lanes,))
    lengths_B[0] = steps
    x_BTC[torch.arange(steps) >= lengths_B[:, None]] = torch.nan
    return x_BTC, lengths_B


def by_hand(x: list[float], horizon: int, season: int) -> list[float]:
    known = [value for value in x if not math.isnan(value)]
    forecast = []
    for ahead in range(horizon):
        at = len(x) + ahead
        while at >= len(x):
            at -= season
        while at >= 0 and math.isnan(x[at]):
            at -= season
        forecast.append(x[at] if at >= 0 else (known[-1] if known else 0.0))
    return forecast


@pytest.mark.parametrize("season", [1, 3, 5, 17, 20])
@pytest.mark.parametrize("missing", [0.0, 0.5, 0.95])
def test_the_seasonal_naive_forecast_is_that_of_a_loop(season: int, missing: float) -> None:
    x_BTC, lengths_B = windows(missing=missing)
    found = seasonal_naive(ForecastInputs.of(x_BTC, 8), 8, season, lengths_B)
    assert found.shape == (6, 8, 2)
    for lane, length in enumerate(lengths_B.tolist()):
        for channel in range(2):
            expected = by_hand(x_BTC[lane, :length, channel].tolist(), 8, season)
            assert found[lane, :, channel].tolist() == expected


def test_a_season_of_one_step_is_the_last_value() -> None:
    x_BTC, lengths_B = windows()
    inputs = ForecastInputs.of(x_BTC, 4)
    assert torch.equal(seasonal_naive(inputs, 4, 1, lengths_B), last_value(inputs, 4))


def test_full_pasts_need_no_lengths() -> None:
    inputs = ForecastInputs.of(torch.randn(3, 10, 1), 7)
    assert torch.equal(seasonal_naive(inputs, 7, 4), seasonal_naive(inputs, 7, 4, torch.full((3,), 10)))
    assert torch.equal(seasonal_naive(inputs, 7, 4)[:, :4], inputs.past[:, -4:])


def test_the_drift_goes_on_from_the_first_known_value_through_the_last() -> None:
    past = torch.tensor([[torch.nan, 1.0, 5.0, 3.0, torch.nan], [torch.nan, torch.nan, 2.0, torch.nan, torch.nan]])
    found = drift(ForecastInputs.of(past[..., None], 3), 3)
    assert found[..., 0].tolist() == [[4.0, 5.0, 6.0], [2.0, 2.0, 2.0]]


def test_a_past_without_values_gets_zeros() -> None:
    inputs = ForecastInputs.of(torch.full((1, 5, 1), torch.nan), 3)
    for forecast in (last_value(inputs, 3), drift(inputs, 3), seasonal_naive(inputs, 3, 2)):
        assert forecast.flatten().tolist() == [0.0] * 3


def test_exponential_smoothing_goes_on_with_trend_and_season() -> None:
    pytest.importorskip("statsmodels", reason="exponential smoothing needs the extra timeseries")
    time = torch.arange(60.0)
    x_BTC = (0.1 * time + torch.sin(time * torch.pi / 6))[None, :, None].repeat(2, 1, 2)
    x_BTC[0, 30, 0] = torch.nan
    x_BTC[1, :, 1] = 3.0
    inputs = ForecastInputs.of(x_BTC[:, :48], 12)
    found = ets(inputs, 12, 12)
    for lane, channel in ((0, 0), (0, 1), (1, 0)):
        error = (found[lane, :, channel] - x_BTC[0, 48:, 1]).abs().max()
        assert error < 0.2 < (last_value(inputs, 12)[lane, :, channel] - x_BTC[0, 48:, 1]).abs().max()
    assert found[1, :, 1].tolist() == [3.0] * 12
    shorter = ets(ForecastInputs.of(x_BTC[:, :52], 12), 12, 12, torch.tensor([48, 48]))
    torch.testing.assert_close(shorter, found)


def test_exponential_smoothing_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "statsmodels.tsa.holtwinters", None)
    with pytest.raises(UserError, match=r"it is not installed\. Try: pip install 'rnnkit\[timeseries\]'"):
        ets(ForecastInputs.of(torch.zeros(1, 20, 1), 3), 3, 1)


def published(name: str, **changes: Any) -> ForecastData:
    """A set of the catalog as its YAML has it; skips where it is not here."""
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate

    if "RNNKIT_DATA" not in os.environ:
        pytest.skip("no data sets: RNNKIT_DATA is not set, and none lie beside the repository")
    overrides = [f"+data={name}", "+seed=1", *(f"data.{key}={value}" for key, value in changes.items())]
    with initialize_config_dir(str(Path(__file__).parents[2] / "configs"), version_base=None):
        data = instantiate(compose(overrides=overrides).data)
    assert isinstance(data, ForecastData)
    data.setup("test")
    return data


@pytest.mark.parametrize(
    ("name", "horizon", "mse", "mae"),
    [("etth1", 96, 1.294, 0.713), ("etth1", 336, 1.330, 0.746), ("etth2", 96, 0.432, 0.422)],
)
def test_the_last_value_has_its_published_error_on_ett(name: str, horizon: int, mse: float, mae: float) -> None:
    squares, sizes, count = 0.0, 0.0, 0
    for batch in published(name, horizon=horizon).test_dataloader():
        error = (last_value(batch.inputs, horizon) - batch.targets).double()
        squares, sizes, count = (
            squares + float(error.square().sum()),
            sizes + float(error.abs().sum()),
            count + error.numel(),
        )
    assert count == (2880 - horizon + 1) * horizon * 7
    assert squares / count == pytest.approx(mse, abs=6e-4)
    assert sizes / count == pytest.approx(mae, abs=6e-4)


def test_the_last_value_has_its_published_error_on_exchange_rates() -> None:
    forecasts, targets = [], []
    for batch in published("exchange_rate").test_dataloader():
        location, scale = batch.extra.location, batch.extra.scale
        forecasts.append(location + scale * last_value(batch.inputs, 3)[:, 2])
        targets.append(location + scale * batch.targets[:, 2])
    y, error = torch.cat(targets).double(), (torch.cat(targets) - torch.cat(forecasts)).double()
    assert float(error.norm() / (y - y.mean()).norm()) == pytest.approx(0.0171, abs=5e-5)


def test_the_seasonal_naive_forecast_has_its_published_scores_on_m4() -> None:
    symmetric, scaled = [], []
    for batch in published("m4_hourly").test_dataloader():
        location, scale = batch.extra.location[:, None], batch.extra.scale[:, None]
        naive = seasonal_naive(batch.inputs, 48, 24, batch.lengths)
        y, forecast = location + scale * batch.targets, location + scale * naive
        symmetric.append(200 * ((y - forecast).abs() / (y.abs() + forecast.abs())).mean((1, 2)))
        scaled.append(((batch.targets - naive).abs().mean(1) / batch.extra.seasonal_error)[:, 0])
    assert float(torch.cat(symmetric).mean()) == pytest.approx(13.912, abs=6e-4)
    assert float(torch.cat(scaled).mean()) == pytest.approx(1.193, abs=6e-4)
