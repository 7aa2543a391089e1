"""All series of a data set in a few concatenated arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.frame import Frame
from rnnkit.data.forecasting.frequency import Frequency
from rnnkit.data.forecasting.grid import Grid


@dataclass
class Panel:
    """S concatenated series: V rows of values, and W rows of times and covariates.

    Series with the same times, such as the columns of a table, share the rows of times and covariates.

    Attributes:
        ids: the name of each series.
        values: [V, C], in the units of the file. Series s has rows `starts[s]` to `starts[s] + lengths[s]`.
        frames: the frame of each series.
        clock_starts: the first of the W rows of each series.
        gaps: [W], the time since the step before in units of the frequency; 1 at the start.
    """

    ids: list[str]
    values: NDArray[np.float64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    frames: list[Frame]
    clock_starts: NDArray[np.int64]
    gaps: NDArray[np.float32]

    @classmethod
    def of(cls, frames: Sequence[Frame], frequency: Frequency | None) -> "Panel":
        """Concatenate the series of frames."""
        channels = frames[0].values.shape[2]
        lengths = np.array([len(frame) for frame in frames for _ in frame.ids])
        clocks = np.cumsum([0, *(len(frame) for frame in frames)])[:-1]
        return cls(
            ids=[name for frame in frames for name in frame.ids],
            values=np.concatenate([frame.values.reshape(-1, channels) for frame in frames]),
            starts=np.cumsum(lengths) - lengths,
            lengths=lengths,
            frames=[frame for frame in frames for _ in frame.ids],
            clock_starts=np.repeat(clocks, [len(frame.ids) for frame in frames]),
            gaps=np.concatenate([_gaps(frame, frequency) for frame in frames]),
        )

    def __len__(self) -> int:
        """The number of series S."""
        return len(self.ids)

    def of_series(self, series: int, until: int | None = None) -> NDArray[np.float64]:
        """The values [N, C] of one series, or of its first `until` steps."""
        start = self.starts[series]
        return self.values[start : start + (self.lengths[series] if until is None else until)]

    def own_frames(self) -> list[Frame]:
        """The distinct frames, in the order of their rows."""
        return list({id(frame): frame for frame in self.frames}.values())


def _gaps(frame: Frame, frequency: Frequency | None) -> NDArray[np.float32]:
    gaps = np.ones(len(frame), np.float32)
    if frame.times is not None and frequency is not None and not frame.is_regular:
        times = frame.ruler(frequency)
        gaps[1:] = np.diff(Grid(frequency, times).positions(times))
    return gaps
