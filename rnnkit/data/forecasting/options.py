"""Groups of arguments of `ForecastData`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rnnkit.data.io.tables.positions import Column
from rnnkit.errors import UserError
from rnnkit.ranges import PositiveInt

Columns = Column | Sequence[Column]
DUPLICATES = ("error", "first", "last", "mean")


@dataclass(frozen=True)
class Covariates:
    """Columns that help to forecast others. Covariates with words are categorical without being named.

    Args:
        past: columns that are known up to the origin of a forecast.
        known: columns that are also known for the horizon.
        static: columns that are constant within a series.
        categorical: the covariates with numbers that are categories.
        time_features: whether to add calendar features to the known covariates.
    """

    past: Columns | None = None
    known: Columns | None = None
    static: Columns | None = None
    categorical: Columns | None = None
    time_features: bool = False


@dataclass(frozen=True)
class Times:
    """The meaning of times, and the order and the distance of rows.

    Args:
        format: a format of `strptime`; s, ms, us or ns for counts since 1970; or "number". None detects it.
        zone: the time zone of times without one. By default, times keep the zone of the file.
        frequency: the distance of steps, such as 15min, 1b or 1mo; None detects it.
        season: the number of steps of a season; None uses that of the frequency.
        sort: whether to sort rows by time. Otherwise, unsorted rows are an error.
        duplicates: the row to use for repeated times: first, last or mean; error rejects them.
        fill_gaps: True moves all rows to the nearest step, even if most are between steps. False uses the rows as
            steps; the times between them are then in `gaps`.

    Raises:
        UserError: `duplicates` or `season` is not possible.
    """

    format: str | None = None
    zone: str | None = None
    frequency: str | None = None
    season: PositiveInt | None = None
    sort: bool = False
    duplicates: Literal["error", "first", "last", "mean"] = "error"
    fill_gaps: bool | None = None

    def __post_init__(self) -> None:
        if self.duplicates not in DUPLICATES:
            expected = f"one of {', '.join(DUPLICATES)}"
            raise UserError("data.times.duplicates", expected, repr(self.duplicates), fix="data.times.duplicates=mean")
        check_count("data.times.season", self.season)


@dataclass(frozen=True)
class WindowOptions:
    """The windows that are cut from series.

    Args:
        stride: steps between the origins of training windows.
        eval_stride: steps between the origins of all other windows.
        per_series: training windows per series and epoch, drawn at random in each epoch; None uses all.

    Raises:
        UserError: a number is below 1.
    """

    stride: PositiveInt = 1
    eval_stride: PositiveInt = 1
    per_series: PositiveInt | None = None

    def __post_init__(self) -> None:
        check_count("data.windows.stride", self.stride)
        check_count("data.windows.eval_stride", self.eval_stride)
        check_count("data.windows.per_series", self.per_series)


def check_count(argument: str, count: object) -> None:
    """Raise UserError if a count is neither None nor a whole number above 0."""
    if count is not None and (not isinstance(count, int) or count < 1):
        raise UserError(argument, "a whole number, 1 or more", repr(count), fix=f"{argument}=24")
