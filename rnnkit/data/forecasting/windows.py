"""Windows of past and future, and their collation into batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnkit.batch import ForecastExtra, ForecastInputs, SequenceBatch
from rnnkit.data.forecasting.encoding import Encoded
from rnnkit.data.forecasting.panel import Panel
from rnnkit.data.forecasting.scaling import seasonal_error


class Window(NamedTuple):
    """One example. The steps of a series before `origin` are its past, the others its future."""

    source: "Windows"
    series: int
    origin: int


@dataclass
class Shape:
    """The common shape of all windows.

    Attributes:
        context: the largest number of past steps.
        horizon: the number of future steps.
        season: the number of steps of a season.
        known_numbers: the number of numeric covariates, the last ones, that are known for the future.
        known_categories: the same for categorical covariates.
    """

    context: int
    horizon: int
    season: int
    known_numbers: int = 0
    known_categories: int = 0


class Windows(Sequence[Window]):
    """The windows of one split, in the order of their series. They are created on demand.

    `encoded` must be set before batches are collated.

    Args:
        panel: the series.
        shape: the shape of the windows.
        series: the series of each window [N].
        origins: the origin of each window [N].
        before: the number of steps before the split for each series [S]. The error of the seasonal naive forecast is
            computed from them.
        draws: the number of windows per series that are drawn at random in each epoch; None uses all N windows.
        seed: the seed of the draws.
    """

    def __init__(
        self,
        panel: Panel,
        shape: Shape,
        series: NDArray[np.int64],
        origins: NDArray[np.int64],
        before: NDArray[np.int64],
        draws: int | None = None,
        seed: int = 0,
    ) -> None:
        self.panel = panel
        self.shape = shape
        self.series, self.origins, self.before = series, origins, before
        self.draws, self.seed = draws, seed
        self.encoded: Encoded | None = None
        self.epoch: Callable[[], int] = lambda: 0
        self._drawn: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))
        self.firsts = np.flatnonzero(np.diff(series, prepend=-1))  # the first window of each series

    def __len__(self) -> int:
        return len(self.series) if self.draws is None else len(self.firsts) * self.draws

    @overload
    def __getitem__(self, index: int) -> Window: ...
    @overload
    def __getitem__(self, index: slice) -> list[Window]: ...
    def __getitem__(self, index: int | slice) -> Window | list[Window]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        place = index if self.draws is None else self._draw()[index]
        return Window(self, int(self.series[place]), int(self.origins[place]))

    def length(self, window: Window) -> int:
        """The number of past steps of a window, at most the context."""
        return min(window.origin, self.shape.context)

    def gather(self, windows: Sequence[Window]) -> SequenceBatch:
        """Collate windows of this split into a batch."""
        encoded, shape = self.encoded, self.shape
        assert encoded is not None
        series_B = torch.tensor([window.series for window in windows])
        origin_B = torch.tensor([window.origin for window in windows])
        first_B = (origin_B - shape.context).clamp(min=0)
        past_BT = first_B[:, None] + torch.arange(shape.context)
        future_BH = origin_B[:, None] + torch.arange(shape.horizon)
        lengths_B = padding_BT = None
        num_steps = None
        if int(origin_B.min()) < shape.context:  # shorter windows are padded at the end
            lengths_B = origin_B - first_B
            padding_BT = past_BT >= origin_B[:, None]
            past_BT = torch.minimum(past_BT, origin_B[:, None] - 1)
            num_steps = int(lengths_B.sum())
        rows_B, clock_B = encoded.starts[series_B, None], encoded.clock_starts[series_B, None]

        def past(values: Tensor, start_B: Tensor, padding: float) -> Tensor:
            taken = _rows(values, start_B + past_BT)
            return (
                taken
                if padding_BT is None
                else taken.masked_fill(padding_BT.view(*padding_BT.shape, *[1] * (taken.dim() - 2)), padding)
            )

        numbers = encoded.numbers[:, encoded.numbers.shape[1] - shape.known_numbers :]
        categories = encoded.categories[:, encoded.categories.shape[1] - shape.known_categories :]
        inputs = ForecastInputs(
            past=past(encoded.values, rows_B, torch.nan),
            past_covariates=past(encoded.numbers, clock_B, torch.nan),
            future_covariates=_rows(numbers, clock_B + future_BH),
            past_categories=past(encoded.categories, clock_B, 0),
            future_categories=_rows(categories, clock_B + future_BH),
            static=encoded.static[series_B],
            static_categories=encoded.static_categories[series_B],
            time_deltas=past(encoded.gaps, clock_B, 1),
        )
        extra = ForecastExtra(
            location=encoded.location[series_B],
            scale=encoded.scale[series_B],
            origin=origin_B,
            seasonal_error=self._seasonal_errors[series_B],
        )
        targets = _rows(encoded.values, rows_B + future_BH)
        return SequenceBatch(inputs, targets, lengths_B, num_steps=num_steps, extra=extra)

    @cached_property
    def _seasonal_errors(self) -> Tensor:
        assert self.encoded is not None
        errors = [
            seasonal_error(self.panel.of_series(series, int(before)), self.shape.season)
            for series, before in enumerate(self.before)
        ]
        return torch.from_numpy(np.stack(errors)) / self.encoded.scale

    def _draw(self) -> NDArray[np.int64]:
        """The windows of this epoch, [S * draws]."""
        assert self.draws is not None
        epoch = self.epoch()
        if epoch != self._drawn[0]:
            generator = np.random.default_rng((self.seed, epoch))
            counts = np.diff(self.firsts, append=len(self.series))
            places = generator.random((self.draws, len(counts))) * counts
            self._drawn = epoch, (self.firsts + places.astype(np.int64)).T.ravel()
        return self._drawn[1]


def first_origins(splits: Sequence[Windows]) -> dict[int, int]:
    """The first origin of each series that has a window."""
    found: dict[int, int] = {}
    for windows in splits:
        for place in windows.firsts:
            series, origin = int(windows.series[place]), int(windows.origins[place])
            found[series] = min(origin, found.get(series, origin))
    return found


def _rows(values: Tensor, index_BT: Tensor) -> Tensor:
    return values.index_select(0, index_BT.flatten()).view(*index_BT.shape, *values.shape[1:])
