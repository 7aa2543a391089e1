"""JSON lines: one object for each row."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from rnnkit.data.io.unique_keys import unique
from rnnkit.errors import UserError


def read_objects(lines: Iterable[str], name: str, argument: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number of the line and the object of each line that is not blank.

    Raises:
        UserError: a line is not an object. The message has the line.

    >>> list(read_objects(['{"text": "good", "label": 1}'], "a.jsonl", "data.path"))
    [(1, {'text': 'good', 'label': 1})]
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        fix = "a JSON object on every line"
        try:
            row = json.loads(line, object_pairs_hook=unique)
        except (ValueError, RecursionError) as error:
            raise UserError(argument, "JSON lines", f"{name} line {number}: {error}", fix=fix) from error
        if not isinstance(row, dict):
            raise UserError(argument, "an object", f"{type(row).__name__} at {name} line {number}", fix=fix)
        yield number, row


def as_cell(value: Any, place: str, argument: str) -> str:
    """A value of an object as the cell of a table.

    Raises:
        UserError: it is a list or an object.
    """
    if isinstance(value, list | dict):
        fix = "one key for each number, or a text"
        raise UserError(argument, "a number, a text or null", f"a {type(value).__name__} at {place}", fix=fix)
    return "" if value is None else json.dumps(value) if isinstance(value, bool | float) else str(value)
