"""SegRNN: a recurrence over segments (Lin et al. 2023, arXiv:2308.11200)."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, MultipleOf
from torch import Tensor, nn
from torch.nn.functional import pad

from rnnkit.batch import ForecastInputs
from rnnkit.cells import Cell, map_state
from rnnkit.cells.probability import check_probability
from rnnkit.errors import UserError
from rnnkit.layers import RNN
from rnnkit.layers.window_scaling import WindowScalingKind, scaled
from rnnkit.masks import Lengths, as_lengths
from rnnkit.models.forecasting.distributions.output import Output
from rnnkit.models.forecasting.forecaster import CONTEXT, Forecaster, check_sizes
from rnnkit.models.forecasting.linear_part import LinearPart
from rnnkit.models.forecasting.parameters import Parameters
from rnnkit.ranges import Layers, NonNegativeInt, PositiveInt, Probability, Steps


class SegmentForecaster(Forecaster):
    r"""Reads each channel separately, `segment` steps at a time, and predicts all segments of the horizon in parallel.

    .. math::
        x_j &= \mathrm{relu}(W z_{j} + W' \mathrm{missing}_j + b), \qquad z_j \in \mathbb{R}^{segment} \\
        h &= \mathrm{RNN}(x_1, \ldots, x_J) \\
        \theta_k &= V \, \mathrm{dropout}(\mathrm{RNN}([p_k, e_c] \mid h)) + d + a_k

    All channels share the weights; e is an embedding of the channel, p of the segment's position in the horizon. The
    second RNN is the first one, continued from h by a single step, so that the segments of the horizon do not depend on
    each other. z is on the scale of the window; SegRNN itself uses the scaling `last`, which subtracts the last value.
    SegRNN has no linear part; a is that of `LinearPart`, for the parameters that are values.

    Axes: B windows, T past steps, J segments of the past, M of the horizon, C channels, L rows = B C, S segment.

    Args:
        cell: a cell factory, called as `cell(input_size, hidden_size)`.
        output, channels, horizon, scaling: see `Forecaster`.
        context: the largest T, 96 if None; steps before the first one of a shorter past are missing values.
        past_covariates, ..., static_categories: must be empty; this model reads values only.
        segment: the number of steps in a segment.
        hidden_size, num_layers: of the RNN; the size must be even.
        linear: the number of past steps that the linear part reads, 0 for none; see `LinearPart`.
        dropout: probability of dropout before V, in [0, 1).

    Raises:
        UserError: if a size is below 1, the width is odd, a probability is not in [0, 1), or there are covariates; and
            as `Forecaster`.

    >>> from rnnkit.cells import GRUCell
    >>> from rnnkit.models.forecasting.distributions import Point
    >>> model = SegmentForecaster(GRUCell, Point(), channels=3, horizon=12, context=24, segment=6, hidden_size=8)
    >>> tuple(model(ForecastInputs.of(torch.randn(2, 24, 3), horizon=12)).raw.shape)
    (2, 12, 3, 1)
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
        scaling: WindowScalingKind | Callable[..., nn.Module] = "last",
        segment: PositiveInt = 24,
        hidden_size: Annotated[int, Ge(2), MultipleOf(2)] = 128,
        num_layers: Layers = 1,
        linear: NonNegativeInt = 0,
        dropout: Probability = 0.0,
    ) -> None:
        super().__init__(output, channels, horizon, scaling)
        check_sizes(hidden_size=hidden_size, segment=segment)
        check_probability("dropout", dropout, key="model.dropout")
        if hidden_size % 2:
            got = str(hidden_size)
            raise UserError("model.hidden_size", "an even number", got, fix=f"model.hidden_size={hidden_size + 1}")
        if past_covariates or past_categories or static or static_categories:
            numbers, categories = past_covariates + static, len(past_categories) + len(static_categories)
            got = f"{numbers} numeric and {categories} categorical ones"
            fix = "data.covariates.time_features=false if they are the calendar, or model=direct_forecaster"
            raise UserError("model", "data without covariates, since SegmentForecaster reads values only", got, fix=fix)
        context = CONTEXT if context is None else context
        self.context, self.segment = context, segment
        self.segments = -(-horizon // segment)
        self.embedding = nn.Linear(segment, hidden_size)
        self.missing = nn.Linear(segment, hidden_size, bias=False)
        self.rnn = RNN(cell, hidden_size, hidden_size, num_layers)
        self.positions = nn.Parameter(torch.randn(self.segments, hidden_size // 2))
        self.channel_embedding = nn.Parameter(torch.randn(channels, hidden_size // 2))
        self.linear = LinearPart(linear, horizon, context)
        self.dropout = nn.Dropout(dropout)
        self.decoding = nn.Linear(self.rnn.output_size, segment * output.size)

    def forward(self, inputs: ForecastInputs, *, lengths: Lengths | None = None) -> Parameters:
        lengths_B = None if lengths is None else as_lengths(lengths, inputs.past)
        past_BTC = _to_the_right(inputs.past, lengths_B, -(-self.context // self.segment) * self.segment)
        location_BC, scale_BC = self.scaling(past_BTC)
        z_BTC = scaled(past_BTC, location_BC, scale_BC, inputs.time_deltas.dtype)
        missing_BTC = past_BTC.isnan().to(z_BTC.dtype)
        x_LJH = torch.relu(self.embedding(self._folded(z_BTC)) + self.missing(self._folded(missing_BTC)))
        _, state = self.rnn(x_LJH)
        B, C, M = len(past_BTC), self.channels, self.segments
        # each row continues once for each segment of the horizon
        state = map_state(lambda leaf: leaf.repeat_interleave(M, 0), state)
        query_CMH = torch.cat([self.positions.expand(C, -1, -1), self.channel_embedding[:, None].expand(-1, M, -1)], -1)
        query_L1H = query_CMH.expand(B, -1, -1, -1).flatten(0, 2)[:, None]
        y_L1O, _ = self.rnn(query_L1H, state)
        raw_LX = self.decoding(self.dropout(y_L1O[:, 0]))
        raw_BCHP = raw_LX.view(B, C, M * self.segment, self.output.size)[:, :, : self.horizon]
        raw_BHCP = self.linear.added(raw_BCHP.transpose(1, 2), self.output.num_location_parameters, z_BTC, None)
        return Parameters(raw_BHCP, location_BC, scale_BC)

    def _folded(self, x_BTC: Tensor) -> Tensor:
        """Reshape to [B C, J, S]: channels become rows, and S steps one segment."""
        return x_BTC.transpose(1, 2).reshape(-1, x_BTC.shape[1] // self.segment, self.segment)


def _to_the_right(past_BTC: Tensor, lengths_B: Tensor | None, steps: int) -> Tensor:
    """Return [B, steps, C] with the last step of each row at the end, NaN before its first."""
    T = past_BTC.shape[1]
    past_BTC = pad(past_BTC, (0, 0, steps - T, 0), value=torch.nan)
    if lengths_B is None:
        return past_BTC
    place_BT = torch.arange(steps, device=past_BTC.device) - (T - lengths_B)[:, None]
    moved_BTC = past_BTC.gather(1, place_BT.clamp(min=0)[..., None].expand_as(past_BTC))
    return moved_BTC.masked_fill((place_BT < 0)[..., None], torch.nan)
