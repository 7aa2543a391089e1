"""Recurrent models that map a window of the past to a forecast."""

from rnnkit.models.forecasting.autoregressive import AutoregressiveForecaster
from rnnkit.models.forecasting.direct import DirectForecaster
from rnnkit.models.forecasting.forecaster import Forecaster
from rnnkit.models.forecasting.parameters import Parameters
from rnnkit.models.forecasting.segments import SegmentForecaster

__all__ = ["AutoregressiveForecaster", "DirectForecaster", "Forecaster", "Parameters", "SegmentForecaster"]
