"""Series with the same times."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.frequency import Frequency, Times


@dataclass(frozen=True)
class Frame:
    """S series with the same N times: C target channels each, and shared covariates.

    `part` is the file of each step: 0 training, 1 validation, 2 test.
    """

    ids: tuple[str, ...]
    values: NDArray[np.float64]  # [S, N, C]
    times: Times | None  # [N], in UTC if offsets are known
    numbers: NDArray[np.float64]  # [N, P]
    categories: NDArray[np.object_]  # [N, K]
    static: NDArray[np.float64]  # [F]
    static_categories: NDArray[np.object_]  # [G]
    part: NDArray[np.int8]  # [N]
    offsets: NDArray[Any] | None = None  # [N], the offset of local time from UTC
    is_regular: bool = False  # whether all steps are equally spaced

    @property
    def local(self) -> Times:
        """The local times [N]."""
        assert self.times is not None
        return self.times if self.offsets is None else self.times + self.offsets

    def ruler(self, frequency: Frequency) -> Times:
        """The times [N] in which the steps of a frequency are equally long: local time from days on, else UTC."""
        assert self.times is not None
        return self.local if frequency.is_local else self.times

    def __len__(self) -> int:
        """The number of steps N."""
        return len(self.part)

    def only(self, series: Sequence[bool]) -> "Frame":
        """The frame with some of its series."""
        ids = tuple(name for name, kept in zip(self.ids, series, strict=True) if kept)
        return replace(self, ids=ids, values=self.values[np.array(series, bool)])

    def taken(self, steps: Any) -> "Frame":
        """The frame with some of its steps."""
        return replace(
            self,
            values=self.values[:, steps],
            times=None if self.times is None else self.times[steps],
            offsets=None if self.offsets is None else self.offsets[steps],
            numbers=self.numbers[steps],
            categories=self.categories[steps],
            part=self.part[steps],
        )


def plain_frame(name: str, values: NDArray[np.float64], part: int) -> Frame:
    """A series of values [N, C] without times or covariates."""
    steps = len(values)
    return Frame(
        ids=(name,),
        values=values[None],
        times=None,
        numbers=np.zeros((steps, 0)),
        categories=np.empty((steps, 0), object),
        static=np.zeros(0),
        static_categories=np.empty(0, object),
        part=np.full(steps, part, np.int8),
    )
