"""Rows of labeled texts: some cells of each row of a table or of JSON lines."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from rnnkit.data.io.findings import Findings
from rnnkit.data.io.tables.dialect import Dialect
from rnnkit.data.io.tables.format import BLANKS
from rnnkit.data.io.tables.objects import read_objects
from rnnkit.data.io.tables.positions import Column, nearest, position
from rnnkit.data.io.tables.rows import named_columns, rows_of
from rnnkit.errors import UserError
from rnnkit.quoting import assignment

_SAMPLE = 200
LABELS_FIRST = " ".join(
    (
        assignment("data.table.delimiter", BLANKS),
        "data.table.header=false data.target_column=0 data.text_column=1 if each line is a label, a blank and a text",
    )
)


class Roles(NamedTuple):
    """The columns of texts, targets, groups and ids; None for a column that is not read."""

    text: Column | None
    target: Column | None = None
    group: Column | None = None
    id: Column | None = None

    @property
    def is_named(self) -> bool:
        """Whether a column is given by name, so that a table has a header."""
        return any(isinstance(column, str) for column in self)

    def wanted(self) -> dict[str, Column]:
        """The columns that are read, by role."""
        return {role: column for role, column in self._asdict().items() if column is not None}


def text_rows(
    lines: Iterable[str],
    name: str,
    dialect: Dialect | None,
    roles: Roles,
    argument: str,
    optional: Sequence[str] = (),
    notes: Findings | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    r"""Yield the number of the line and the cells of some columns of each row.

    Args:
        lines: the lines of the file, as they arrive.
        name: the name of the file, for error messages.
        dialect: the form of a table; None for JSON lines.
        roles: the columns.
        argument: the argument that error messages name.
        optional: roles whose columns may be missing.
        notes: counts skipped lines.

    Raises:
        UserError: a column is missing. The message has the file and the line.

    >>> dialect = Dialect(",", '"', ".", "", True)
    >>> list(text_rows(["text,label\n", "good,1\n"], "a.csv", dialect, Roles("text", "label"), "data.path"))
    [(2, {'text': 'good', 'target': '1'})]
    """
    wanted = roles.wanted()
    if dialect is None:
        for number, content in read_objects(lines, name, argument):
            yield number, _of_object(content, wanted, optional, f"{name} line {number}")
        return
    if dialect.delimiter == BLANKS:
        yield from _between_blanks(lines, name, dialect, wanted, optional)
        return
    places: dict[str, int] | None = None
    for number, row in rows_of(lines, dialect, name, argument, notes):
        if places is None:
            places = _places(row, dialect, wanted, optional, f"{name} line {number}")
            if dialect.header:
                continue
        yield number, {role: row[place] for role, place in places.items()}


def are_labels_first(lines: Sequence[str]) -> bool:
    """Whether the first words of lines look like labels: most of them are repeated, and text follows."""
    parts = [line.split(None, 1) for line in islice(lines, _SAMPLE) if line.strip()]
    counts = Counter(part[0] for part in parts if len(part) == 2)
    return counts.total() == len(parts) > 3 and 1 < len(counts) <= max(2, len(parts) // 4)


def _places(
    row: Sequence[str], dialect: Dialect, wanted: Mapping[str, Column], optional: Sequence[str], where: str
) -> dict[str, int]:
    names = named_columns(row, dialect)
    found = {}
    for role, column in wanted.items():
        argument = f"data.{role}_column"
        place = position(column, names, argument, where, header=dialect.header, optional=role in optional)
        if place is not None:
            found[role] = place
    return found


def _of_object(
    row: Mapping[str, Any], wanted: Mapping[str, Column], optional: Sequence[str], place: str
) -> dict[str, Any]:
    for role, column in wanted.items():
        if str(column) not in row and role not in optional:
            argument = f"data.{role}_column"
            got = f"{', '.join(row) or 'nothing'} at {place}"
            raise UserError(
                argument, f"a key {column!r}", got, fix=assignment(argument, nearest(str(column), list(row)))
            )
    return {role: row[str(column)] for role, column in wanted.items() if str(column) in row}


def _between_blanks(
    lines: Iterable[str], name: str, dialect: Dialect, wanted: Mapping[str, Column], optional: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows whose cells are words between blanks, and whose text is the rest of the line."""
    text = wanted["text"]
    others = [column for role, column in wanted.items() if role != "text"]
    numbers = [column for column in (text, *others) if isinstance(column, int)]
    is_last = all(0 <= column < text for column in numbers[1:]) if isinstance(text, int) else False
    is_first = text == 0 and all(column < 0 for column in numbers[1:])
    if len(numbers) <= len(others) or not (is_last or is_first):
        fix = "data.target_column=0 data.text_column=1, or data.text_column=0 data.target_column=-1"
        expected = "numbers of columns, with the text as the first or the last, because it has blanks itself"
        raise UserError("data.text_column", expected, f"data.text_column={text}", fix=fix)
    cuts = int(text) if is_last else -min([*numbers[1:], 0])
    for number, line in enumerate(lines, 1):
        if not line.strip() or (dialect.header and number == 1):
            continue
        cells = line.strip().split(None, cuts) if is_last else line.strip().rsplit(None, cuts)
        if len(cells) <= cuts and not optional:
            got = f"{len(cells)} at {name} line {number}"
            raise UserError("data.text_column", f"{cuts} words and a text in every row", got, fix="completing the row")
        found = {role: cells[int(column)] for role, column in wanted.items() if -len(cells) <= int(column) < len(cells)}
        yield number, {"text": cells[-1] if is_last else cells[0]} | found
