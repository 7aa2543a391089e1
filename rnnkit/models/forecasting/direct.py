"""A recurrent encoder with one head for all steps of the horizon."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from rnnkit.batch import ForecastInputs
from rnnkit.cells import Cell
from rnnkit.cells.probability import check_probability
from rnnkit.layers import RNN, LockedDropout
from rnnkit.layers.window_scaling import WindowScalingKind, scaled, window_features
from rnnkit.masks import Lengths, as_lengths, last_valid
from rnnkit.models.forecasting.covariates import Covariates
from rnnkit.models.forecasting.distributions.output import Output
from rnnkit.models.forecasting.forecaster import Forecaster, check_sizes
from rnnkit.models.forecasting.linear_part import LinearPart
from rnnkit.models.forecasting.parameters import Parameters
from rnnkit.ranges import Layers, NonNegativeInt, PositiveInt, Probability, Steps


class DirectForecaster(Forecaster):
    r"""Reads the past once and predicts all steps of the horizon at once (Wen et al. 2017, arXiv:1711.11053).

    .. math::
        h &= \mathrm{RNN}([z_t, \mathrm{missing}_t, u_t, \mathrm{gap}_t]_{t=1..T}) \\
        c_1, \ldots, c_H &= W h + b \\
        \theta_k &= V \, \mathrm{relu}(U [c_k, v_k] + d) + e + a_k

    z are the values on the scale of the window, 0 where missing; u are the covariates of the past, including location
    and scale of the window, v those that are known for the future. The time gap is the last input, as `CfCCell` with
    `elapsed_time=True` expects. a is the forecast of `LinearPart`, for the parameters that are values.

    Axes: B windows, T past steps, H steps of the horizon, C channels, P parameters.

    Args:
        cell: a cell factory, called as `cell(input_size, hidden_size)`.
        output: see `Forecaster`.
        channels, horizon, context: C, H, and the largest T, if there is one.
        past_covariates, ..., static_categories: see `Covariates`.
        scaling: see `Forecaster`.
        hidden_size, num_layers: of the RNN; None is 64.
        step_size: the width of each c and of the layer after it.
        linear: the number of past steps that the linear part reads, 0 or None for none; see `LinearPart`.
        linear_lag: the lag that the linear part repeats at first; 0 or None for none.
        dropout: probability of dropout between the layers and before W, in [0, 1).

    Raises:
        UserError: if a size is below 1, a probability is not in [0, 1), or the linear part exceeds the context; and as
            `Forecaster`.

    >>> from rnnkit.cells import GRUCell
    >>> from rnnkit.models.forecasting.distributions import Gaussian
    >>> model = DirectForecaster(GRUCell, Gaussian(), channels=3, horizon=5, context=20, hidden_size=8)
    >>> tuple(model(ForecastInputs.of(torch.randn(2, 20, 3), horizon=5)).raw.shape)
    (2, 5, 3, 2)
    """

    def __init__(
        self,
        cell: Callable[[int, int], Cell[Any]],
        output: Output,
        *,
        channels: int,
        horizon: Steps,
        context: Steps | None = None,
        past_covariates: int = 0,
        future_covariates: int = 0,
        past_categories: Sequence[int] = (),
        future_categories: Sequence[int] = (),
        static: int = 0,
        static_categories: Sequence[int] = (),
        scaling: WindowScalingKind | Callable[..., nn.Module] = "standard",
        hidden_size: PositiveInt | None = None,
        num_layers: Layers = 1,
        step_size: PositiveInt = 16,
        linear: NonNegativeInt | None = None,
        linear_lag: NonNegativeInt | None = None,
        dropout: Probability = 0.0,
    ) -> None:
        super().__init__(output, channels, horizon, scaling)
        hidden_size = 64 if hidden_size is None else hidden_size
        check_sizes(hidden_size=hidden_size, step_size=step_size)
        check_probability("dropout", dropout, key="model.dropout")
        self.covariates = Covariates(
            past_covariates, future_covariates, past_categories, future_categories, static, static_categories
        )
        input_size = 4 * channels + self.covariates.past_size + 1
        self.rnn = RNN(cell, input_size, hidden_size, num_layers, dropout=LockedDropout(dropout))
        self.dropout = nn.Dropout(dropout)
        self.step_size = step_size
        self.steps = nn.Linear(self.rnn.output_size, horizon * step_size)
        self.step = nn.Sequential(
            nn.Linear(step_size + self.covariates.future_size, step_size),
            nn.ReLU(),
            nn.Linear(step_size, channels * output.size),
        )
        self.linear = LinearPart(linear or 0, horizon, context, linear_lag or 0)
        if linear_lag:
            last = self.step[-1]
            assert isinstance(last, nn.Linear)
            with torch.no_grad():  # the forecast starts as that of the linear part
                last.weight.view(channels, output.size, -1)[:, : output.num_location_parameters] = 0
                last.bias.view(channels, output.size)[:, : output.num_location_parameters] = 0

    def forward(self, inputs: ForecastInputs, *, lengths: Lengths | None = None) -> Parameters:
        lengths_B = None if lengths is None else as_lengths(lengths, inputs.past)
        location_BC, scale_BC = self.scaling(inputs.past)
        dtype = inputs.time_deltas.dtype
        z_BTC = scaled(inputs.past, location_BC, scale_BC, dtype)
        missing_BTC = inputs.past.isnan().to(z_BTC.dtype)
        own_BTC = window_features(location_BC, scale_BC, dtype)[:, None].expand(-1, z_BTC.shape[1], -1)
        x_BTI = torch.cat(
            [z_BTC, missing_BTC, own_BTC, self.covariates.past(inputs), inputs.time_deltas[..., None]], -1
        )
        y_BTO, _ = self.rnn(x_BTI, lengths=lengths_B)
        c_BHS = self.steps(self.dropout(last_valid(y_BTO, lengths_B))).unflatten(1, (self.horizon, self.step_size))
        theta_BHX = self.step(torch.cat([c_BHS, self.covariates.future(inputs)], -1))
        raw_BHCP = theta_BHX.unflatten(2, (self.channels, self.output.size))
        raw_BHCP = self.linear.added(raw_BHCP, self.output.num_location_parameters, z_BTC, lengths_B)
        return Parameters(raw_BHCP, location_BC, scale_BC)
