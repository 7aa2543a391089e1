"""How a file of time series is laid out, and which of its columns is what."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rnnkit.data.forecasting.table import Table, parsed_time
from rnnkit.errors import UserError

logger = logging.getLogger(__name__)

LAYOUTS = ("wide", "long", "rows")
DUPLICATES = ("error", "first", "last", "mean")


@dataclass(frozen=True)
class Format:
    """What the columns of a file are; the arguments of `ForecastData` of the same names say more.

    Once it `is_resolved`, by the first file, nothing is left for other files to decide.
    """

    layout: str | None = None
    header: bool = True
    time: str | None = None
    time_format: str | None = None
    id: str | None = None
    target: list[str] = field(default_factory=list)
    past_covariates: list[str] = field(default_factory=list)
    known_covariates: list[str] = field(default_factory=list)
    static_covariates: list[str] = field(default_factory=list)
    categorical: list[str] = field(default_factory=list)
    multivariate: bool = True
    sort: bool = False
    duplicates: str = "error"
    fill_gaps: bool = False
    is_resolved: bool = False

    def __post_init__(self) -> None:
        if self.layout not in (None, *LAYOUTS):
            got = repr(self.layout)
            raise UserError("data.layout", f"one of {', '.join(LAYOUTS)}, or null", got, fix="data.layout=null")
        if self.duplicates not in DUPLICATES:
            expected = f"one of {', '.join(DUPLICATES)}"
            raise UserError("data.duplicates", expected, repr(self.duplicates), fix="data.duplicates=mean")
        if self.layout == "long" and self.id is None:
            got = "data.id=null beside data.layout=long"
            raise UserError("data.id", "the column that names the series", got, fix="data.id=unique_id")
        if self.layout in ("wide", "rows") and self.id is not None:
            got = f"data.id={self.id} beside data.layout={self.layout}"
            raise UserError("data.layout", "long where data.id is set", got, fix="data.layout=long")
        named = [*self.target, *self.covariates]
        twice = next((name for i, name in enumerate(named) if name in named[:i]), None)
        if twice is not None:
            raise UserError(
                "data.target", "each column in one place", f"{twice!r} twice", fix="leaving one of them out"
            )

    @property
    def covariates(self) -> list[str]:
        """Past, known and static ones."""
        return [*self.past_covariates, *self.known_covariates, *self.static_covariates]

    def past(self, *, categorical: bool) -> list[str]:
        """The covariates over the past, known ones last, that are numbers or that are names."""
        names = [*self.past_covariates, *self.known_covariates]
        return [name for name in names if (name in self.categorical) == categorical]

    def known(self, *, categorical: bool) -> list[str]:
        """The covariates that are known for the future, that are numbers or that are names."""
        return [name for name in self.known_covariates if (name in self.categorical) == categorical]

    def static(self, *, categorical: bool) -> list[str]:
        """The covariates of whole series that are numbers or that are names."""
        return [name for name in self.static_covariates if (name in self.categorical) == categorical]

    def resolved(self, table: Table) -> "Format":
        """The same with what a file leaves to be found out: the time column, the targets, which covariates are names.

        Raises UserError where columns are missing, or hold words and are neither targets nor covariates.
        """
        for argument, names in self._named():
            for name in names:
                table.cells(name, argument)
        if self.is_resolved:
            return self
        time = self.time or self._dated(table)
        categorical = [name for name in self.covariates if name in self.categorical or not table.is_numeric(name)]
        target = self.target or [
            name for name in table.columns if name not in {time, self.id, *self.covariates, *self.categorical}
        ]
        if not target:
            got = f"{table.source} with no column left for it"
            raise UserError("data.target", "a column to forecast", got, fix="data.target=column")
        words = next((name for name in target if not table.is_numeric(name)), None)
        if words is not None and not self.target:
            first = next(row for row, cell in enumerate(table.words(words, "data.target")) if cell is not None)
            raise UserError(
                "data.target",
                f"numbers in all columns of {table.source} that are nothing else",
                f"column {words!r} ({table.locate(first)}: {table.words(words, 'data.target')[first]!r})",
                fix=f"data.target=[{target[0] if target[0] != words else target[-1]}], data.id={words}, "
                f"or data.past_covariates=[{words}]",
            )
        left = [name for name in table.columns if name not in {*target, *self.covariates, self.id}]
        if time is None and any(not table.is_numeric(name) for name in left):
            logger.warning("no column of times (data.time): the steps are numbered. Not read: %s", ", ".join(left))
        return replace(self, time=time, target=target, categorical=categorical, is_resolved=True)

    def _dated(self, table: Table) -> str | None:
        """The first column that nothing is said of and that holds dates."""
        named = {self.id, *self.target, *self.covariates}
        return next((name for name in table.columns if name not in named and _is_date(table.columns[name])), None)

    def _named(self) -> list[tuple[str, Sequence[str]]]:
        return [
            ("data.time", [self.time] if self.time else []),
            ("data.id", [self.id] if self.id else []),
            ("data.target", self.target),
            ("data.past_covariates", self.past_covariates),
            ("data.known_covariates", self.known_covariates),
            ("data.static_covariates", self.static_covariates),
            ("data.categorical", self.categorical),
        ]


def names(given: Any) -> list[str]:
    """One name or a list of them, as the command line gives them.

    >>> names("OT"), names([1, 2]), names(None)
    (['OT'], ['1', '2'], [])
    """
    if given is None:
        return []
    return [str(given)] if isinstance(given, str | int) else [str(name) for name in given]


def _is_date(cells: Any) -> bool:
    if cells.dtype != object or cells[0] is None:
        return bool(cells.dtype.kind == "M")
    plain_number = cells[0].strip().isdigit()  # 20240131 would pass for a date
    return not plain_number and parsed_time(cells[0], None) is not None
