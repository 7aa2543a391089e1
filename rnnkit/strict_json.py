"""JSON without NaN and Infinity, which every parser reads."""

import json
import math
from typing import Any


def dumps(value: Any, **options: Any) -> str:
    """Return `json.dumps` with null in place of each number that is not finite.

    >>> dumps({"loss": math.inf, "errors": [0.5, math.nan]})
    '{"loss": null, "errors": [0.5, null]}'
    """
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, **options)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_finite(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
