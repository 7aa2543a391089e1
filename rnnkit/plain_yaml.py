"""Checks that a YAML file from elsewhere has plain values only, and not too many, before they are built."""

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

LARGEST = 1 << 20
"""The largest size of a file in bytes. A configuration has some 3,000."""
MOST_NODES = 100_000
"""The largest number of values in a file, where values repeated by aliases count each time."""
DEEPEST = 50


class UnfitError(ValueError):
    """Raised for a YAML file that is too large, or has more than plain values."""


def plain_text(path: Path) -> str:
    """Return the text of a file whose values can be built safely.

    Aliases (`*name`) are followed and counted, not built: ten levels of ten would be ten thousand million values.

    Raises:
        UnfitError: if they cannot, with the reason.
        OSError: if the file cannot be read.
    """
    if not path.is_file():
        raise UnfitError("it is no file")
    if path.stat().st_size > LARGEST:
        raise UnfitError(f"it has more than {LARGEST:,} bytes")
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=_LOADER)
    except RecursionError as error:
        raise UnfitError(f"it is nested more than {DEEPEST} deep") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnfitError(str(error)) from error
    if root is not None:
        _count(root, {}, 0)
    return text


def _count(node: Any, known: dict[int, int], depth: int) -> int:
    """Count the values that a node expands to."""
    if id(node) in known:
        if not known[id(node)]:
            raise UnfitError("an alias repeats what it is part of")
        return known[id(node)]
    if depth > DEEPEST:
        raise UnfitError(f"it is nested more than {DEEPEST} deep")
    if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
        raise UnfitError(f"{node.tag} is no plain value")
    if isinstance(node, yaml.ScalarNode) and "\0" in node.value:
        raise UnfitError("a value has a NUL character, which no path and no name can have")
    known[id(node)] = 0  # while it is being counted
    parts = node.value if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    total = 1 + sum(_count(part, known, depth + 1) for part in parts)
    if total > MOST_NODES:
        raise UnfitError(f"it holds more than {MOST_NODES:,} values")
    known[id(node)] = total
    return total


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
