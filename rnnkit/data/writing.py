"""Predictions as CSV or JSON lines."""

import csv
import json
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from rnnkit.errors import UserError

Write = Callable[[Any, Any], None]
"""Called with an example and the prediction for it."""


def row_writer(sink: TextIO, format_: str, rows: Callable[[Any, Any], Iterable[dict[str, Any]]]) -> Write:
    """What writes the `rows` of each prediction to `sink`; UserError for a format other than csv and jsonl.

    >>> import sys
    >>> write = row_writer(sys.stdout, "csv", lambda example, prediction: [{"text": example, "label": prediction}])
    >>> write("good, really", "positive")
    text,label
    "good, really",positive
    """
    if format_ == "jsonl":

        def write_json(example: Any, prediction: Any) -> None:
            for row in rows(example, prediction):
                sink.write(json.dumps(row, ensure_ascii=False) + "\n")

        return write_json
    if format_ == "csv":
        table: list[csv.DictWriter[str]] = []

        def write_csv(example: Any, prediction: Any) -> None:
            for row in rows(example, prediction):
                if not table:
                    table.append(csv.DictWriter(sink, list(row), lineterminator="\n"))
                    table[0].writeheader()
                table[0].writerow(row)

        return write_csv
    raise UserError("--format", "csv or jsonl", repr(format_), fix="--format jsonl, or --output predictions.csv")
