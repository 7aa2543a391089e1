"""Sentences as JSON lines."""

import json
from collections.abc import Iterable, Iterator
from typing import NoReturn

from rnnkit.data.tagging.sentence import Sentence
from rnnkit.errors import UserError


def read_json_lines(lines: Iterable[str], name: str, *, tagged: bool = True) -> Iterator[Sentence]:
    r"""One sentence a line: `{"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]}`; blank lines are passed over.

    Unless `tagged`, tags are not looked at. Raises UserError, naming `name` and the line, for what is no such line.

    >>> [s.tags for s in read_json_lines(['{"tokens": ["a", "b"], "tags": ["X", "Y"]}'], "a.jsonl")]
    [['X', 'Y']]
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            _refuse(f"{name}, line {number}: {error}")
        tokens = _words(content, "tokens")
        tags = _words(content, "tags") if tagged else []
        if not tokens:
            _refuse(f"{name}, line {number}, which has no list of strings under 'tokens'")
        if tagged and len(tags) != len(tokens):
            _refuse(f"{name}, line {number}, which has no 'tags', one string for each of {len(tokens)} tokens")
        yield Sentence(tokens, tags if tagged else None)


def _words(content: object, key: str) -> list[str]:
    found = content.get(key) if isinstance(content, dict) else None
    return found if isinstance(found, list) and all(isinstance(word, str) and word for word in found) else []


def _refuse(got: str) -> NoReturn:
    raise UserError(
        "data", 'JSON lines {"tokens": [...], "tags": [...]}', got, fix="data.format=columns, or repairing the line"
    )
