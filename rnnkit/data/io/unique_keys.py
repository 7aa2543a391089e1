"""JSON objects whose keys come once."""

from typing import Any


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object with these keys and values, as `object_pairs_hook` of `json.loads`.

    Raises ValueError for a key that comes twice, of which Python would keep the last.

    >>> import json
    >>> json.loads('{"a": 1, "b": 2}', object_pairs_hook=unique)
    {'a': 1, 'b': 2}
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a key that comes twice among {', '.join(key for key, _ in pairs)}"[:200])
    return found
