"""Baseline forecasts without training, reported beside every model."""

import warnings

import numpy as np
import torch
from torch import Tensor

from rnnkit.batch import ForecastInputs
from rnnkit.errors import UserError


def last_value(inputs: ForecastInputs, horizon: int) -> Tensor:
    r"""Returns [B, H, C], the last observed value of each channel, repeated; 0 where none was observed.

    .. math::
        \hat{x}_{T+h} = x_T

    >>> past_BTC = torch.tensor([1.0, 3.0, torch.nan])[None, :, None]
    >>> last_value(ForecastInputs.of(past_BTC, horizon=2), 2).flatten().tolist()
    [3.0, 3.0]
    """
    value_B1C, _ = _end(inputs.past, last=True)
    return value_B1C.nan_to_num().expand(-1, horizon, -1)


def drift(inputs: ForecastInputs, horizon: int) -> Tensor:
    r"""Returns [B, H, C], the extrapolated line through the first and the last observed value.

    .. math::
        \hat{x}_{T+h} = x_T + h \, \frac{x_T - x_1}{T - 1}

    >>> past_BTC = torch.tensor([1.0, 2.0, 3.0])[None, :, None]
    >>> drift(ForecastInputs.of(past_BTC, horizon=2), 2).flatten().tolist()
    [4.0, 5.0]
    """
    last_B1C, at_B1C = _end(inputs.past, last=True)
    first_B1C, from_B1C = _end(inputs.past, last=False)
    slope_B1C = (last_B1C - first_B1C) / (at_B1C - from_B1C).clamp(min=1)
    ahead_H = torch.arange(1, horizon + 1, device=inputs.past.device)
    return (last_B1C + slope_B1C * ahead_H[:, None]).nan_to_num()


def seasonal_naive(inputs: ForecastInputs, horizon: int, season: int, lengths: Tensor | None = None) -> Tensor:
    r"""Returns [B, H, C], the values of the last season, repeated.

    .. math::
        \hat{x}_{T+h} = x_{T+h-km}, \qquad k = \lceil h / m \rceil

    If that value is missing, the value one season earlier is used, and so on; if all are missing, the last value.

    Args:
        inputs: the past.
        horizon: H.
        season: m, in steps.
        lengths: the number of valid steps of each past [B]; None if there is no padding.

    >>> past_BTC = torch.tensor([1.0, 2.0, 3.0, 4.0, torch.nan])[None, :, None]
    >>> seasonal_naive(ForecastInputs.of(past_BTC, horizon=3), 3, season=2).flatten().tolist()
    [4.0, 3.0, 4.0]
    """
    x_BTC = inputs.past
    rows, steps, channels = x_BTC.shape
    if lengths is None:
        lengths = torch.full((rows,), steps, device=x_BTC.device)
    back_K = torch.arange(1, -(-steps // season) + 1, device=x_BTC.device) * season
    phase_M = torch.arange(season, device=x_BTC.device)
    at_BKM = lengths[:, None, None] - back_K[:, None] + phase_M
    index_BNC = at_BKM.clamp(0, steps - 1).flatten(1)[..., None].expand(-1, -1, channels)
    found_BKMC = x_BTC.gather(1, index_BNC).view(*at_BKM.shape, channels)
    found_BKMC = found_BKMC.masked_fill(((at_BKM < 0) | (at_BKM >= steps))[..., None], torch.nan)
    newest_B1MC = (~found_BKMC.isnan()).to(torch.uint8).argmax(1, keepdim=True)
    season_BMC = found_BKMC.gather(1, newest_B1MC).squeeze(1)
    forecast_BHC = season_BMC[:, torch.arange(horizon, device=x_BTC.device) % season]
    return torch.where(forecast_BHC.isnan(), last_value(inputs, horizon), forecast_BHC)


def ets(inputs: ForecastInputs, horizon: int, season: int, lengths: Tensor | None = None) -> Tensor:
    """Returns [B, H, C], exponential smoothing fitted to each past (Holt 1957, Winters 1960), by statsmodels.

    The model has a damped additive trend and, if the past spans two whole seasons, an additive season. Missing values
    are interpolated for the fit. If the past has fewer than 10 observed values, or the fit fails, the forecast is the
    last value. This is much slower than the other baselines: use it on a test split, not during training.

    Raises:
        UserError: if statsmodels is not installed.
    """
    try:
        from statsmodels.tsa.holtwinters import ExponentialSmoothing
    except ImportError as error:
        raise UserError("ets", "statsmodels", "it is not installed", fix="pip install 'rnnkit[timeseries]'") from error
    forecast_BHC = last_value(inputs, horizon).clone()
    for row, channel in torch.cartesian_prod(*map(torch.arange, inputs.past.shape[::2])).tolist():
        x_T = inputs.past[row, : None if lengths is None else int(lengths[row]), channel].double()
        seen = (~x_T.isnan()).nonzero().flatten()
        if len(seen) < 10 or bool((x_T[seen] == x_T[seen[0]]).all()):
            continue
        x_T = _interpolated(x_T[int(seen[0]) :])
        seasonal = season > 1 and len(x_T) >= 2 * season
        model = ExponentialSmoothing(
            x_T.numpy(),
            trend="add",
            damped_trend=True,
            seasonal="add" if seasonal else None,
            seasonal_periods=season if seasonal else None,
            initialization_method="estimated",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fit that has not converged is still used
            found_H = torch.from_numpy(model.fit().forecast(horizon))
        if bool(found_H.isfinite().all()):
            forecast_BHC[row, :, channel] = found_H.to(forecast_BHC)
    return forecast_BHC


def _end(x_BTC: Tensor, *, last: bool) -> tuple[Tensor, Tensor]:
    """Returns the first or last observed value of each channel (NaN if there is none) and its step, [B, 1, C] each."""
    seen = (~x_BTC.isnan()).to(torch.uint8)
    index = x_BTC.shape[1] - 1 - seen.flip(1).argmax(1, keepdim=True) if last else seen.argmax(1, keepdim=True)
    return x_BTC.gather(1, index), index


def _interpolated(x_T: Tensor) -> Tensor:
    """Fills missing values by linear interpolation, those at the end with the last observed value."""
    x = x_T.cpu().numpy()
    seen = ~np.isnan(x)
    return torch.from_numpy(np.interp(np.arange(len(x)), np.flatnonzero(seen), x[seen]))
