"""Sentences as JSON lines."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from rnnkit.data.io.findings import Findings
from rnnkit.data.io.unique_keys import unique
from rnnkit.data.tagging.sentence import Sentence


def read_json_lines(lines: Iterable[str], name: str, faults: Findings, *, tagged: bool = True) -> Iterator[Sentence]:
    r"""Yield one sentence per line: `{"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]}`. Blank lines are skipped.

    Args:
        lines: the lines.
        name: the name of the file, for error messages.
        faults: collects errors by kind with their lines. A line with an error is skipped.
        tagged: whether to read tags.

    >>> line = '{"tokens": ["a", "b"], "tags": ["X", "Y"]}'
    >>> [s.tags for s in read_json_lines([line], "a.jsonl", Findings())]
    [['X', 'Y']]
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{name} line {number}"
        try:
            content = json.loads(line, object_pairs_hook=unique)
        except (ValueError, RecursionError) as error:
            faults.add("lines that are not JSON", f"{place}: {error}")
            continue
        content = content if isinstance(content, dict) else {}
        tokens = _words(content.get("tokens"))
        tags = _words(content.get("tags")) if tagged else None
        if tokens is None:
            faults.add("lines without a list of strings under 'tokens'", place)
        elif tagged and (tags is None or len(tags) != len(tokens)):
            found = "none" if tags is None else f"{len(tags):,}"
            faults.add("lines without one string under 'tags' for each token", f"{place}: {found} for {len(tokens):,}")
        else:
            yield Sentence(tokens, tags, place=place)


def _words(found: Any) -> list[str] | None:
    is_words = isinstance(found, list) and all(isinstance(word, str) and word for word in found)
    return found if is_words else None
