"""JSON objects with unique keys."""

from typing import Any


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An `object_pairs_hook` for `json.loads` that rejects repeated keys. Python itself would keep the last value.

    Raises:
        ValueError: a key is repeated.

    >>> import json
    >>> json.loads('{"a": 1, "b": 2}', object_pairs_hook=unique)
    {'a': 1, 'b': 2}
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a repeated key among {', '.join(key for key, _ in pairs)}"[:200])
    return found
