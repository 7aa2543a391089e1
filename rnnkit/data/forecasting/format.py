"""The layout of a file of time series, and the roles of its columns."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rnnkit.data.forecasting.clock import Clock, find_clock
from rnnkit.data.io.tables.format import TableFormat
from rnnkit.data.io.tables.positions import Column, position
from rnnkit.data.io.tables.table import Table
from rnnkit.data.io.times.columns import TimeColumns
from rnnkit.data.io.times.compact import Ascends
from rnnkit.data.io.times.detection import is_time_name
from rnnkit.data.io.times.stamps import EPOCHS, NUMBER, read_stamps
from rnnkit.errors import UserError
from rnnkit.quoting import assignment

LAYOUTS = ("wide", "long", "rows")
NUMERIC = "numeric"
"""The target that stands for all columns of numbers without another role."""


@dataclass(frozen=True)
class Format:
    """The roles of the columns of a file. See the arguments of `ForecastData` with the same names.

    Columns are names or numbers until `of_table`, then names. The first file resolves what the user left open
    (`is_resolved`); other files do not change it. The target `is_guessed` if the user did not name it. Without a
    header, columns are numbered from `first_column`, which is 1 for models of the first version.
    """

    layout: str | None = None
    table: TableFormat = field(default_factory=TableFormat)
    time: Sequence[Any] = ()
    time_format: str | None = None
    time_zone: str | None = None
    id: Any = None
    target: Sequence[Any] = ()
    past_covariates: Sequence[Any] = ()
    known_covariates: Sequence[Any] = ()
    static_covariates: Sequence[Any] = ()
    categorical: Sequence[Any] = ()
    multivariate: bool = True
    sort: bool = False
    duplicates: str = "error"
    fill_gaps: bool | None = None
    first_column: int = 0
    is_resolved: bool = False
    is_guessed: bool = False

    def __post_init__(self) -> None:
        if self.layout not in (None, *LAYOUTS):
            got = repr(self.layout)
            raise UserError("data.layout", f"one of {', '.join(LAYOUTS)}, or null", got, fix="data.layout=null")
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
    def is_named(self) -> bool:
        """Whether a column is given by name."""
        return any(isinstance(column, str) and column != NUMERIC for _, columns in self._named() for column in columns)

    def written(self, names: Sequence[str]) -> set[int]:
        """The numbers of the columns that are read as they are written: times, ids and categories."""
        header = self.table.header is not False
        given = [*self.time, *([] if self.id is None else [self.id]), *self.categorical]
        places = [position(one, names, "data.time", "", header=header, optional=True) for one in given]
        return {place for place in places if place is not None} | {
            place for place, name in enumerate(names) if is_time_name(name)
        }

    @property
    def covariates(self) -> list[Any]:
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

    def of_table(self, table: Table) -> "Format":
        """The format with the names of all columns.

        Raises:
            UserError: a column is missing in the table.
        """
        found: dict[str, Any] = {}
        for argument, columns in self._named():
            is_keyword = argument == "data.target" and list(columns) == [NUMERIC] and NUMERIC not in table.columns
            found[_FIELDS[argument]] = (
                list(columns) if is_keyword else [table.name_of(one, argument) for one in columns]
            )
        identifier = next(iter(found.pop("id")), None)
        return replace(self, **found, id=identifier, table=replace(self.table, header=table.header))

    def learned(self) -> dict[str, Any]:
        """What the first file resolved, as JSON values."""
        columns = {name: [str(one) for one in getattr(self, name)] for name in _FIELDS.values() if name != "id"}
        identifier = None if self.id is None else str(self.id)
        return {
            **columns,
            "id": identifier,
            "time_format": self.time_format,
            "header": self.table.header is not False,
            "first_column": self.first_column,
        }

    def with_learned(self, learned: Mapping[str, Any]) -> "Format":
        """The format with the results of `learned`."""
        columns = {name: value for name, value in learned.items() if name != "header"}
        table = replace(self.table, header=learned["header"])
        return replace(self, **columns, table=table, is_resolved=True)

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
        is_open = not self.target or list(self.target) == [NUMERIC]
        named.discard(NUMERIC)
        clock = find_clock(table, free, list(self.time), self.time_format, ascends, asks=is_open)
        categorical = {name for name in self.covariates if name in self.categorical or not table.is_numeric(name)}
        aside = {*clock.columns, *clock.others} if clock else set()
        empty = {name for name in free if name not in aside and table.is_empty(name)}
        target = list(self.target) if not is_open else [name for name in free if name not in aside | empty]
        unread = [name for name in target if self.target and is_open and not table.is_numeric(name)]
        target = [name for name in target if name not in unread]
        if not target:
            counting = [name for name in clock.others if table.is_numeric(name)] if clock else []
            got = (
                f"{table.source}, whose columns have times or are empty"
                if free
                else f"no other column in {table.source}"
            )
            fix = (
                assignment("data.target", counting) if counting else f"{table.argument}=another.csv with such a column"
            )
            raise UserError("data.target", "a column to forecast", got, fix=fix)
        if not self.target:
            _check_numeric(table, target, clock)
        notes = [f"not forecast, because they are no numbers: {', '.join(unread)}"] if unread else []
        if clock is None:
            read = set(target)
            left = [name for name in free if name not in read]
            rest = f"; not read: {', '.join(left[:12])}{', ...' * (len(left) > 12)}" if left else ""
            notes.append(f"no time column (data.time): the steps are numbered{rest}")
        else:
            form = "numbers" if clock.time_format == NUMBER else clock.time_format
            notes.append(f"time: {' and '.join(map(repr, clock.columns))}, read as {form}")
        if clock and clock.others and is_open:
            notes.append(f"not forecast, because they also count time: {', '.join(map(repr, clock.others))}")
        if empty and is_open:
            notes.append(f"not forecast, because they are empty: {', '.join(sorted(empty))}")
        found = replace(
            self,
            time=clock.columns if clock else [],
            time_format=clock.time_format if clock else None,
            target=target,
            categorical=[name for name in self.covariates if name in categorical],
            is_resolved=True,
            is_guessed=is_open,
        )
        return found, notes

    def _as_written(self, table: Table, ascends: Ascends) -> "Format":
        """The same format with the time format of this file, which may differ from that of the first file."""
        if not self.time:
            return self
        column = TimeColumns(table, self.time)
        is_plain = column.is_time or self.time_format == NUMBER or self.time_format in EPOCHS
        if self.time_format is not None and (
            is_plain or read_stamps([column.first() or ""], self.time_format)[1] is None
        ):
            return self
        clock = find_clock(table, self.time, list(self.time), None, ascends, asks=False)
        return self if clock is None else replace(self, time_format=clock.time_format)

    def _named(self) -> list[tuple[str, Sequence[Column]]]:
        return [
            ("data.time", self.time),
            ("data.id", [] if self.id is None else [self.id]),
            ("data.target", self.target),
            ("data.covariates.past", self.past_covariates),
            ("data.covariates.known", self.known_covariates),
            ("data.covariates.static", self.static_covariates),
            ("data.covariates.categorical", self.categorical),
        ]


_FIELDS = {
    "data.time": "time",
    "data.id": "id",
    "data.target": "target",
    "data.covariates.past": "past_covariates",
    "data.covariates.known": "known_covariates",
    "data.covariates.static": "static_covariates",
    "data.covariates.categorical": "categorical",
}


def _check_numeric(table: Table, target: list[str], clock: Clock | None) -> None:
    """Raise UserError if columns with words have no role."""
    words = [name for name in target if not table.is_numeric(name)]
    if not words:
        return
    cells = table.words(words[0], "data.target")
    first = next(row for row, cell in enumerate(cells) if cell is not None)
    numeric = [name for name in target if table.is_numeric(name)]
    fixes = [assignment("data.target", numeric)] if numeric else []
    if len(numeric) > 12:
        fixes = [f"data.target={NUMERIC}, for all columns of numbers"]
    if (
        clock and len(set(TimeColumns(table, clock.columns).strings())) < table.rows
    ):  # there are several series, and one of these columns names them
        fixes.insert(0, f"{assignment('data.id', words[0])} if it names the series of a row")
    more = f" and {len(words) - 1} more: {', '.join(words[1:13])}" if len(words) > 1 else ""
    raise UserError(
        "data.target",
        f"numbers in all columns of {table.source} without another role",
        f"column {words[0]!r} ({cells[first]!r} at {table.place(first)}){more}",
        fix=", or ".join([*fixes, assignment("data.covariates.past", words)]),
    )


def columns_of(given: Any) -> list[Column]:
    """Convert one column or a list of columns to a list.

    >>> columns_of("OT"), columns_of([1, "b"]), columns_of(None)
    (['OT'], [1, 'b'], [])
    """
    if given is None:
        return []
    return [given] if isinstance(given, str | int) else list(given)
