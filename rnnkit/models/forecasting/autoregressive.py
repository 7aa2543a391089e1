"""DeepAR, an autoregressive forecaster (Salinas et al. 2020, arXiv:1704.04110)."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from annotated_types import MinLen
from torch import Tensor, nn

from rnnkit.batch import ForecastInputs
from rnnkit.cells import Cell, map_state
from rnnkit.cells.probability import check_probability
from rnnkit.errors import UserError
from rnnkit.layers import RNN, LockedDropout
from rnnkit.layers.window_scaling import WindowScalingKind, scaled, window_features
from rnnkit.masks import Lengths, as_lengths
from rnnkit.models.forecasting.covariates import Covariates
from rnnkit.models.forecasting.distributions.output import Output
from rnnkit.models.forecasting.forecaster import CONTEXT, Forecaster, check_sizes
from rnnkit.models.forecasting.lags import OneSequence, SampledValues, lagged
from rnnkit.models.forecasting.parameters import Parameters
from rnnkit.ranges import Layers, PositiveInt, Probability, Steps


class AutoregressiveForecaster(Forecaster):
    r"""Predicts each step from the values before it, and samples the future step by step.

    .. math::
        h_t &= \mathrm{RNN}([z_{t-l}, \mathrm{missing}_{t-l}]_{l \in lags}, u_t, \mathrm{gap}_t) \\
        p(z_t \mid z_{<t}) &= \mathrm{output}(W h_t + b)

    In training, the inputs are the true values over past and horizon (teacher forcing), and the loss includes all steps
    whose lags are inside the window. A forecast is a set of sample paths: the value sampled at one step is an input of
    later ones.

    z are values on the scale of the window, which is computed from its past, 0 where missing; u are the covariates
    known for the future, including location and scale of the window.

    Axes: B windows, T past steps, H steps of the horizon, C channels, L lags, S sample paths, N = T + H steps.

    Args:
        cell: a cell factory, called as `cell(input_size, hidden_size)`.
        output: see `Forecaster`; it must support sampling.
        channels, horizon, scaling: see `Forecaster`.
        context: the largest T, 96 if None.
        past_covariates, ..., static_categories: see `Covariates`; those of the past must all be known for the future.
        lags: the lags of the input values in steps; they must include 1.
        hidden_size, num_layers: of the RNN.
        dropout: probability of dropout between the layers and before W, in [0, 1).

    Raises:
        UserError: if a size is below 1, a probability is not in [0, 1), lags lack 1 or exceed the context, or
            covariates are known for the past only; and as `Forecaster`.

    >>> from rnnkit.cells import GRUCell
    >>> from rnnkit.models.forecasting.distributions import Gaussian
    >>> model = AutoregressiveForecaster(GRUCell, Gaussian(), channels=1, horizon=5, context=20, hidden_size=8)
    >>> tuple(model.sample_paths(ForecastInputs.of(torch.randn(2, 20, 1), horizon=5), samples=7).shape)
    (7, 2, 5, 1)
    """

    lags: Tensor

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
        scaling: WindowScalingKind | Callable[..., nn.Module] = "mean",
        lags: Annotated[Sequence[PositiveInt], MinLen(1)] = (1,),
        hidden_size: PositiveInt = 64,
        num_layers: Layers = 2,
        dropout: Probability = 0.0,
    ) -> None:
        super().__init__(output, channels, horizon, scaling)
        check_sizes(hidden_size=hidden_size)
        check_probability("dropout", dropout, key="model.dropout")
        lags = tuple(sorted(set(lags)))
        context = CONTEXT if context is None else context
        if not lags or lags[0] != 1 or lags[-1] >= context:
            expected = f"lags of at least 1 and below data.context={context}, including 1"
            raise UserError("model.lags", expected, str(list(lags)), fix="model.lags=[1]")
        ending = past_covariates - future_covariates + len(past_categories) - len(future_categories)
        if ending:
            got = f"{ending} known for the past only"
            fix = "data.covariates.past=[], or model=direct_forecaster"
            raise UserError("model", "covariates that are known for the future", got, fix=fix)
        nothing = Parameters(torch.zeros(1, 1, 1, output.size), torch.zeros(1, 1), torch.ones(1, 1))
        output.sample(nothing, 1)  # raises an error now if the output cannot be sampled
        self.covariates = Covariates(
            past_covariates, future_covariates, past_categories, future_categories, static, static_categories
        )
        self.register_buffer("lags", torch.tensor(lags), persistent=False)
        self.longest_lag = lags[-1]
        input_size = 2 * (len(lags) + 1) * channels + self.covariates.future_size + 1
        self.rnn = RNN(cell, input_size, hidden_size, num_layers, dropout=LockedDropout(dropout))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.rnn.output_size, channels * output.size)

    def teacher_forced(
        self, inputs: ForecastInputs, targets: Tensor, *, lengths: Lengths | None = None
    ) -> tuple[Parameters, Tensor]:
        """Return the parameters of each step given the true values before it, and these values, over past and
        horizon.
        """
        parameters, values_BNC, place_BN = self._taught(inputs, targets, lengths)
        counted_BN = place_BN >= torch.minimum(self.lags[-1], self._origins(inputs, lengths))[:, None]
        return parameters, values_BNC.masked_fill(~counted_BN[..., None], torch.nan)

    def teacher_forced_horizon(
        self, inputs: ForecastInputs, targets: Tensor, *, lengths: Lengths | None = None
    ) -> tuple[Parameters, Tensor]:
        """Return the parameters of each step of the horizon given the true values before it, and these values."""
        parameters, _, _ = self._taught(inputs, targets, lengths)
        place_BH = self._origins(inputs, lengths)[:, None] + torch.arange(self.horizon, device=targets.device)
        raw_BHCP = parameters.raw.gather(1, place_BH[..., None, None].expand(-1, -1, *parameters.raw.shape[2:]))
        return parameters._replace(raw=raw_BHCP), targets

    def forward(self, inputs: ForecastInputs, *, lengths: Lengths | None = None) -> Parameters:
        """Return the parameters of each step of the horizon if the steps before it have their mean values.

        Nothing is sampled. The path of the means differs from the mean of `sample_paths`, which is the mean of the
        forecast.
        """
        raws, _ = self._ahead(inputs, 1, lengths, lambda parameters: self.output.mean(parameters)[:, 0])
        return Parameters(raws, *self.scaling(inputs.past))

    @torch.no_grad()
    def sample_paths(
        self,
        inputs: ForecastInputs,
        samples: int,
        *,
        lengths: Lengths | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Sample paths [S, B, H, C] in the units of the batch.

        The past is read once. Then all paths of all windows are rows of one batch, one step at a time. Only the values
        grow with the horizon.
        """
        _, values = self._ahead(
            inputs, samples, lengths, lambda parameters: self.output.sample(parameters, 1, generator)[0, :, 0]
        )
        paths_SBHC: Tensor = values.unflatten(0, (samples, -1))
        return paths_SBHC

    def _ahead(
        self,
        inputs: ForecastInputs,
        samples: int,
        lengths: Lengths | None,
        choose: Callable[[Parameters], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Return raw parameters [L, H, C, P] and values [L, H, C] of the horizon, L = S B, with values from `choose`.

        `choose` maps the parameters of one step of all rows to values [L, C].
        """
        B, T, _ = inputs.past.shape
        S, H = samples, self.horizon
        location_BC, scale_BC = self.scaling(inputs.past)
        origin_B = self._origins(inputs, lengths)
        dtype = inputs.time_deltas.dtype
        z_BTC = scaled(inputs.past, location_BC, scale_BC, dtype)
        missing_BTC = inputs.past.isnan()
        own_BF = window_features(location_BC, scale_BC, dtype)
        own_BTF = own_BF[:, None].expand(-1, T, -1)
        known_BTF = torch.cat([own_BTF, self.covariates.known_past(inputs), inputs.time_deltas[..., None]], -1)
        place_BT = torch.arange(T, device=z_BTC.device).expand(B, -1)
        x_BTI = torch.cat([lagged(z_BTC, missing_BTC, place_BT, self.lags), known_BTF], -1)
        _, state = self.rnn(x_BTI, lengths=lengths)
        state = map_state(lambda leaf: leaf.repeat(S, *[1] * (leaf.dim() - 1)), state)

        values = SampledValues(z_BTC, missing_BTC, origin_B, self.longest_lag, H, S)
        future_BHF = torch.cat([own_BF[:, None].expand(-1, H, -1), self.covariates.future(inputs)], -1)
        future_LHF = future_BHF.repeat(S, 1, 1)
        gap_L1 = future_LHF.new_ones(S * B, 1)
        location_LC, scale_LC = location_BC.repeat(S, 1), scale_BC.repeat(S, 1)
        raws, chosen = [], []
        for k in range(H):
            x_L1I = torch.cat([values.before(k, self.lags), future_LHF[:, k], gap_L1], -1)[:, None]
            y_L1O, state = self.rnn(x_L1I, state)
            parameters = Parameters(self._raw(y_L1O), location_LC, scale_LC)
            value_LC = choose(parameters)
            values.append(k, (value_LC - location_LC) / scale_LC)
            raws.append(parameters.raw)
            chosen.append(value_LC)
        return torch.cat(raws, 1), torch.stack(chosen, 1)

    def _taught(
        self, inputs: ForecastInputs, targets_BHC: Tensor, lengths: Lengths | None
    ) -> tuple[Parameters, Tensor, Tensor]:
        """Return parameters and values of all N steps, past and horizon in one sequence, and the number of steps."""
        B, T, _ = inputs.past.shape
        origin_B1 = self._origins(inputs, lengths)[:, None]
        whole = OneSequence(origin_B1, T, self.horizon)
        place_BN, joined = whole.place_BN, whole.joined
        location_BC, scale_BC = self.scaling(inputs.past)
        values_BNC = joined(inputs.past, targets_BHC).masked_fill(whole.padding_BN[..., None], torch.nan)
        known_BNF = joined(self.covariates.known_past(inputs), self.covariates.future(inputs))
        gap_BN1 = joined(inputs.time_deltas[..., None], inputs.time_deltas.new_ones(B, self.horizon, 1))
        dtype = inputs.time_deltas.dtype
        z_BNC = scaled(values_BNC, location_BC, scale_BC, dtype)
        own_BNF = window_features(location_BC, scale_BC, dtype)[:, None].expand(-1, T + self.horizon, -1)
        before_BNI = lagged(z_BNC, values_BNC.isnan(), place_BN, self.lags)
        x_BNI = torch.cat([before_BNI, own_BNF, known_BNF, gap_BN1], -1)
        ends_B = None if lengths is None else origin_B1[:, 0] + self.horizon
        y_BNO, _ = self.rnn(x_BNI, lengths=ends_B)
        return Parameters(self._raw(y_BNO), location_BC, scale_BC), values_BNC, place_BN

    def _raw(self, y_BNO: Tensor) -> Tensor:
        raw_BNCP: Tensor = self.head(self.dropout(y_BNO)).unflatten(2, (self.channels, self.output.size))
        return raw_BNCP

    @staticmethod
    def _origins(inputs: ForecastInputs, lengths: Lengths | None) -> Tensor:
        """Return the number of steps of each past [B]."""
        B, T, _ = inputs.past.shape
        return torch.full((B,), T, device=inputs.past.device) if lengths is None else as_lengths(lengths, inputs.past)
