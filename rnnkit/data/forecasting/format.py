"""The layout of a file of time series, and the roles of its columns."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rnnkit.data.forecasting.clock import Clock, find_clock
from rnnkit.data.forecasting.compact import Ascends
from rnnkit.data.forecasting.stamps import EPOCHS, NUMBER, read_stamps
from rnnkit.data.forecasting.table import Table, listed
from rnnkit.errors import UserError

LAYOUTS = ("wide", "long", "rows")
DUPLICATES = ("error", "first", "last", "mean")


@dataclass(frozen=True)
class Format:
    """The roles of the columns of a file. See the arguments of `ForecastData` with the same names.

    The first file resolves what the user left open (`is_resolved`); other files do not change it. The target
    `is_guessed` if the user did not name it.
    """

    layout: str | None = None
    header: bool = True
    time: list[str] = field(default_factory=list)
    time_format: str | None = None
    time_zone: str | None = None
    id: str | None = None
    target: list[str] = field(default_factory=list)
    past_covariates: list[str] = field(default_factory=list)
    known_covariates: list[str] = field(default_factory=list)
    static_covariates: list[str] = field(default_factory=list)
    categorical: list[str] = field(default_factory=list)
    multivariate: bool = True
    sort: bool = False
    duplicates: str = "error"
    fill_gaps: bool | None = None
    is_resolved: bool = False
    is_guessed: bool = False

    def __post_init__(self) -> None:
        if self.layout not in (None, *LAYOUTS):
            got = repr(self.layout)
            raise UserError("data.layout", f"one of {', '.join(LAYOUTS)}, or null", got, fix="data.layout=null")
        if self.duplicates not in DUPLICATES:
            expected = f"one of {', '.join(DUPLICATES)}"
            raise UserError("data.duplicates", expected, repr(self.duplicates), fix="data.duplicates=mean")
        if self.layout == "long" and self.id is None:
            got = "data.id=null with data.layout=long"
            raise UserError("data.id", "the column that names the series", got, fix="data.id=unique_id")
        if self.layout in ("wide", "rows") and self.id is not None:
            got = f"data.id={self.id} with data.layout={self.layout}"
            raise UserError("data.layout", "long if data.id is set", got, fix="data.layout=long")
        counts = Counter([*self.target, *self.covariates])
        twice = next((name for name, count in counts.items() if count > 1), None)
        if twice is not None:
            raise UserError("data.target", "one role for each column", f"{twice!r} twice", fix="removing one of them")

    @property
    def covariates(self) -> list[str]:
        """Past, known and static covariates."""
        return [*self.past_covariates, *self.known_covariates, *self.static_covariates]

    def past(self, *, categorical: bool) -> list[str]:
        """The numeric or categorical covariates of the past, known ones last."""
        names = [*self.past_covariates, *self.known_covariates]
        return [name for name in names if (name in self.categorical) == categorical]

    def known(self, *, categorical: bool) -> list[str]:
        """The numeric or categorical covariates that are known for the future."""
        return [name for name in self.known_covariates if (name in self.categorical) == categorical]

    def static(self, *, categorical: bool) -> list[str]:
        """The numeric or categorical covariates of whole series."""
        return [name for name in self.static_covariates if (name in self.categorical) == categorical]

    def check(self, table: Table) -> None:
        """Raise UserError if a column is missing in the table."""
        for argument, names in self._named():
            for name in names:
                table.cells(name, argument)

    def resolved(self, table: Table, ascends: Ascends) -> tuple["Format", list[str]]:
        """Resolve what the user left open: time columns and their format, targets, and categorical covariates.

        Returns:
            The resolved format, and notes on what was detected or skipped.

        Raises:
            UserError: a column has words and is neither a target nor a covariate, or may be a time column.
        """
        if self.is_resolved:
            return self._as_written(table, ascends), []
        named = {self.id, *self.target, *self.covariates, *self.categorical}
        free = [name for name in table.columns if name not in named]
        clock = find_clock(table, free, self.time, self.time_format, ascends, asks=not self.target)
        categorical = {name for name in self.covariates if name in self.categorical or not table.is_numeric(name)}
        aside = {*clock.columns, *clock.others} if clock else set()
        empty = {name for name in free if name not in aside and table.is_empty(name)}
        target = self.target or [name for name in free if name not in aside | empty]
        if not target:
            counting = [name for name in clock.others if table.is_numeric(name)] if clock else []
            got = (
                f"{table.source}, whose columns have times or are empty"
                if free
                else f"no other column in {table.source}"
            )
            fix = f"data.target={listed(counting)}" if counting else f"{table.argument}=another.csv with such a column"
            raise UserError("data.target", "a column to forecast", got, fix=fix)
        if not self.target:
            _check_numeric(table, target, clock)
        notes = []
        if clock is None:
            read = set(target)
            unread = [name for name in free if name not in read]
            rest = f"; not read: {', '.join(unread[:12])}{', ...' * (len(unread) > 12)}" if unread else ""
            notes.append(f"no time column (data.time): the steps are numbered{rest}")
        else:
            form = "numbers" if clock.time_format == NUMBER else clock.time_format
            notes.append(f"time: {' and '.join(map(repr, clock.columns))}, read as {form}")
        if clock and clock.others and not self.target:
            notes.append(f"not forecast, because they also count time: {', '.join(map(repr, clock.others))}")
        if empty and not self.target:
            notes.append(f"not forecast, because they are empty: {', '.join(sorted(empty))}")
        found = replace(
            self,
            time=clock.columns if clock else [],
            time_format=clock.time_format if clock else None,
            target=target,
            categorical=[name for name in self.covariates if name in categorical],
            is_resolved=True,
            is_guessed=not self.target,
        )
        return found, notes

    def _as_written(self, table: Table, ascends: Ascends) -> "Format":
        """The same format with the time format of this file, which may differ from that of the first file."""
        if not self.time:
            return self
        cells = table.joined(self.time)
        first = str(cells[0] if cells[0] is not None else "")
        is_plain = cells.dtype.kind == "M" or self.time_format == NUMBER or self.time_format in EPOCHS
        if self.time_format is not None and (is_plain or read_stamps([first], self.time_format)[1] is None):
            return self
        clock = find_clock(table, self.time, self.time, None, ascends, asks=False)
        return self if clock is None else replace(self, time_format=clock.time_format)

    def _named(self) -> list[tuple[str, Sequence[str]]]:
        return [
            ("data.time", self.time),
            ("data.id", [self.id] if self.id else []),
            ("data.target", self.target),
            ("data.past_covariates", self.past_covariates),
            ("data.known_covariates", self.known_covariates),
            ("data.static_covariates", self.static_covariates),
            ("data.categorical", self.categorical),
        ]


def _check_numeric(table: Table, target: list[str], clock: Clock | None) -> None:
    """Raise UserError if a column with words has no role."""
    words = [name for name in target if not table.is_numeric(name)]
    if not words:
        return
    cells = table.words(words[0], "data.target")
    first = next(row for row, cell in enumerate(cells) if cell is not None)
    numeric = [name for name in target if table.is_numeric(name)]
    fixes = [f"data.target={listed(numeric)}"] if numeric else []
    if (
        clock and len(set(table.joined(clock.columns).tolist())) < table.rows
    ):  # there are several series, and one of these columns names them
        fixes.insert(0, f"data.id={words[0]} if it names the series of a row")
    more = f" and {len(words) - 1} more: {', '.join(words[1:])}" if len(words) > 1 else ""
    raise UserError(
        "data.target",
        f"numbers in all columns of {table.source} without another role",
        f"column {words[0]!r} ({table.locate(first)}: {cells[first]!r}){more}",
        fix=", or ".join([*fixes, f"data.past_covariates={listed(words)}"]),
    )


def names(given: Any) -> list[str]:
    """Convert one name or a list of names from the command line to a list.

    >>> names("OT"), names([1, 2]), names(None)
    (['OT'], ['1', '2'], [])
    """
    if given is None:
        return []
    return [str(given)] if isinstance(given, str | int) else [str(name) for name in given]
