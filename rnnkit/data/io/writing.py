"""Predictions as CSV or JSON lines."""

import csv
import math
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from rnnkit.errors import UserError
from rnnkit.notices import notice
from rnnkit.strict_json import dumps

Write = Callable[[Any, Any], None]
"""A function that writes the prediction for an example."""


def row_writer(sink: TextIO, format_: str, rows: Callable[[Any, Any], Iterable[dict[str, Any]]]) -> Write:
    """A function that writes the `rows` of each prediction to `sink`.

    A number that is not finite becomes null in JSON and an empty cell in CSV, with a warning at the first one.

    Raises:
        UserError: the format is neither csv nor jsonl.

    >>> import sys
    >>> write = row_writer(sys.stdout, "csv", lambda example, prediction: [{"text": example, "label": prediction}])
    >>> write("good, really", "positive")
    text,label
    "good, really",positive
    """
    finite = _Finite()
    if format_ == "jsonl":

        def write_json(example: Any, prediction: Any) -> None:
            for row in rows(example, prediction):
                sink.write(dumps(finite(row), ensure_ascii=False) + "\n")

        return write_json
    if format_ == "csv":
        table: list[csv.DictWriter[str]] = []

        def write_csv(example: Any, prediction: Any) -> None:
            for row in rows(example, prediction):
                if not table:
                    table.append(csv.DictWriter(sink, list(row), lineterminator="\n"))
                    table[0].writeheader()
                table[0].writerow(finite(row))

        return write_csv
    raise UserError("--format", "csv or jsonl", repr(format_), fix="--format jsonl, or --output predictions.csv")


class _Finite:
    """Replacement of non-finite numbers in rows by None, with a warning at the first such row."""

    def __init__(self) -> None:
        self._rows = 0
        self._is_told = False

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        self._rows += 1
        bad = [name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)]
        if not bad:
            return row
        if not self._is_told:
            self._is_told = True
            notice(f"non-finite numbers are left empty, first in row {self._rows:,}: {', '.join(bad)}")
        return {**row, **dict.fromkeys(bad)}
