"""Conversion of a table to series with ordered, unique times."""

from collections import Counter
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.forecasting.format import Format
from rnnkit.data.forecasting.frame import Frame, plain_frame
from rnnkit.data.forecasting.order import Groups, groups_of, ordered
from rnnkit.data.forecasting.sentinels import sentinel_lines
from rnnkit.data.forecasting.zones import localized, offsets_at, time_zone
from rnnkit.data.io.findings import Findings
from rnnkit.data.io.sources import Paths
from rnnkit.data.io.tables.reading import read_table
from rnnkit.data.io.tables.rows import file_rows
from rnnkit.data.io.tables.table import Table
from rnnkit.data.io.times.columns import TimeColumns
from rnnkit.data.io.times.stamps import EPOCHS, Stamps
from rnnkit.errors import UserError
from rnnkit.quoting import assignment


class Reading(NamedTuple):
    """The series of a file, the resolved format, and notes on what was assumed, repaired or skipped."""

    frames: list[Frame]
    form: Format
    notes: list[str]


def read_file(path: Paths | None, argument: str, form: Format, notes: Findings) -> Table:
    """Read the table of series that are not rows."""
    return read_table(
        path, argument, form.table, named=form.is_named, text_columns=form.written, notes=notes, first=form.first_column
    )


def read_frames(path: Paths | None, argument: str, form: Format, part: int = 0) -> Reading:
    """Read the series of files, in the order of their first rows.

    Raises:
        UserError: `read_table` or `Format.resolved` raises, or times are repeated or not ascending.
    """
    findings = Findings()
    if form.layout == "rows":
        return _read_rows(path, argument, form, part, findings)
    table = read_file(path, argument, form, findings)
    form = form.of_table(table)
    groups = groups_of(table, form.id)
    form, notes = form.resolved(table, groups.ascend)
    notes = [*table.notes, *findings.lines(), *notes]
    if form.time and form.time_zone is None:
        form = replace(form, time_zone=table.zones.get(form.time[0]))
    stamps = _stamps(table, form, groups) if form.time else None
    values_NC = np.stack([table.numbers(name, "data.target") for name in form.target], 1)
    notes += sentinel_lines(values_NC, form.target)
    numbers = [_numbers(table, name, _argument(form, name)) for name in form.past(categorical=False)]
    words = [table.words(name, "data.covariates.categorical") for name in form.past(categorical=True)]
    whole = Frame(
        ids=(),
        values=values_NC[None],
        times=None if stamps is None else stamps.times,
        offsets=None if stamps is None else stamps.offsets,
        numbers=np.stack(numbers, 1) if numbers else np.zeros((table.rows, 0)),
        categories=np.stack(words, 1) if words else np.empty((table.rows, 0), object),
        static=np.zeros(0),
        static_categories=np.empty(0, object),
        part=np.full(table.rows, part, np.int8),
    )
    static = {name: _numbers(table, name, "data.covariates.static") for name in form.static(categorical=False)}
    static_words = {name: table.words(name, "data.covariates.static") for name in form.static(categorical=True)}
    frames = []
    orders: Counter[str] = Counter()
    repeated = 0
    for name, rows_N in groups:
        kept_N, starts, order = ordered(table, form, whole.times, rows_N)
        frame = whole.taken(kept_N)
        if form.duplicates == "mean":
            frame = _averaged(frame, starts)
        orders[order] += 1
        repeated += len(rows_N) - len(frame)
        words_G = np.empty(len(static_words), object)
        words_G[:] = [_constant(column, cells, kept_N, table) for column, cells in static_words.items()]
        numbers_F = [_constant(column, cells, kept_N, table) for column, cells in static.items()]
        frame = replace(frame, static=np.array(numbers_F, np.float64), static_categories=words_G)
        frames.append(_named(frame, name, form))
    notes += [f"{count:,} of {len(frames):,} series {order}" for order, count in orders.items() if order]
    if repeated:
        notes.append(f"{repeated:,} rows repeat a time: data.times.duplicates={form.duplicates}")
    return Reading(frames, form, notes)


def _read_rows(path: Paths | None, argument: str, form: Format, part: int, notes: Findings) -> Reading:
    """Read series that are rows: a name, then values. Empty cells at the end of a row are not part of the series."""
    frames = []
    names: dict[str, str] = {}
    for place, (name, *cells), notation in file_rows(path, argument, form.table, notes):
        end = next((end for end in range(len(cells), 0, -1) if cells[end - 1].strip()), 0)
        values = notation.read_words(cells[:end])
        if values is None:
            bad = next(cell for cell in cells if notation.number(cell) is None)
            fix = f"{assignment('data.table.missing', [bad])} if it stands for a missing value, or another data.layout"
            raise UserError(argument, "a number or an empty cell", f"{bad!r} at {place}", fix=fix)
        if name in names:
            got = f"{name!r} at {names[name]} and at {place}"
            raise UserError(argument, "each series in one row", got, fix="renaming one of them")
        names[name] = place
        frames.append(plain_frame(name, values[:, None], part))
    if not frames:
        raise UserError(argument, "rows", f"{path}, which has none", fix=f"{argument}=another.csv")
    return Reading(frames, replace(form, target=["value"], is_resolved=True), notes.lines())


def _stamps(table: Table, form: Format, groups: Groups) -> Stamps:
    """The times of all rows, in the zone of the user or of the file."""
    assert form.time_format is not None
    columns = TimeColumns(table, form.time)
    stamps = columns.stamps(form.time_format)
    if stamps.times.dtype.kind != "M" or (form.time_zone is None and stamps.offsets is None):
        return stamps
    if form.time_zone is None:
        absent = np.isnat(np.asarray(stamps.offsets))
        if absent.any():
            how = "a zone in every row or in none"
            row = int(absent.argmax())
            columns.refuse(row, "none there", how, "data.times.zone=UTC, or the zone of these rows")
        return stamps
    zone = time_zone(form.time_zone)
    if form.time_format in EPOCHS or form.time[0] in table.zones:  # these times are in UTC
        return Stamps(stamps.times, offsets_at(stamps.times, zone))
    found, skipped = localized(stamps, zone, list(groups))
    if skipped is not None:
        got = f"{columns.cell(skipped)}, which its clock change skips"
        how = f"a time that exists in {form.time_zone}"
        columns.refuse(skipped, got, how, "data.times.zone=null, or another zone")
    return found


def _averaged(frame: Frame, starts: NDArray[np.int64]) -> Frame:
    """Merge the steps of the same time: the mean of numbers, and the first of names."""
    if len(starts) == len(frame):
        return frame

    def mean(x: NDArray[np.float64]) -> NDArray[np.float64]:
        seen = ~np.isnan(x)
        total, count = np.add.reduceat(np.where(seen, x, 0), starts), np.add.reduceat(seen.astype(float), starts)
        return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)

    thinned = frame.taken(starts)
    return replace(thinned, values=mean(frame.values[0])[None], numbers=mean(frame.numbers))


def _constant(name: str, cells: NDArray[Any], rows: NDArray[np.int64], table: Table) -> Any:
    """The value of a static covariate in the rows of a series.

    Raises:
        UserError: the value changes. The message has the line.
    """
    mine = cells[rows]
    changed = (mine != mine[0]) & ~((mine != mine) & (mine[0] != mine[0]))  # NaN is not equal to itself
    if changed.any():
        row = int(rows[changed][0])
        raise UserError(
            "data.covariates.static",
            f"one value of {name!r} in all rows of a series",
            f"{cells[row]} at {table.place(row)} after {mine[0]}",
            fix=f"{assignment('data.covariates.past', [name])}, or {assignment('data.covariates.known', [name])}",
        )
    return mine[0]


def _named(frame: Frame, name: str, form: Format) -> Frame:
    """The frame with the names of its series: one series of C channels, or C series of one channel."""
    if form.multivariate:
        return replace(frame, ids=(name,))
    prefix = f"{name}/" if name and len(form.target) > 1 else name
    ids = tuple(prefix + target if not name or len(form.target) > 1 else prefix for target in form.target)
    return replace(frame, ids=ids, values=frame.values[0].T[:, :, None])


def _numbers(table: Table, name: str, argument: str) -> NDArray[np.float64]:
    fix = f"{assignment('data.covariates.categorical', [name])} if it is a categorical covariate"
    return table.numbers(name, argument, fix)


def _argument(form: Format, name: str) -> str:
    return "data.covariates.past" if name in form.past_covariates else "data.covariates.known"
