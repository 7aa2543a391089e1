"""Arguments of the command line, quoted for the shell and for Hydra."""

import re
import shlex
from collections.abc import Sequence
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_./~][A-Za-z0-9_./:+~-]*")
_SAFE = re.compile(r"[A-Za-z0-9_./:=+~@%,-]+")
_WORDS = frozenset(("null", "true", "false", "none", "nan", "inf", "yes", "no", "on", "off"))


def assignment(key: str, value: Any) -> str:
    r"""Format `key=value` so that it can be pasted into a shell.

    >>> print(assignment("data.time", "Date"), assignment("data.target", ["a", "CO(GT)"]))
    data.time=Date "data.target=[a,'CO(GT)']"
    >>> print(assignment("data.path", "report (1).csv"), assignment("data.table.delimiter", ";"))
    "data.path='report (1).csv'" "data.table.delimiter=';'"
    """
    typed = f"{key}={hydra_value(value)}"
    if _SAFE.fullmatch(typed):
        return typed
    return shlex.quote(typed) if re.search(r'["$`\\!]', typed) else f'"{typed}"'


def hydra_value(value: Any) -> str:
    """Format a value in the grammar of Hydra's overrides.

    >>> hydra_value([1, "a", "2", None, True])
    "[1,a,'2',null,true]"
    """
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
            return value
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, Sequence):
        return f"[{','.join(map(hydra_value, value))}]"
    return str(value)


def listed_columns(names: Sequence[str], most: int = 100) -> str:
    """Format names of columns as a list for the command line; only the first of very many."""
    return hydra_value(list(names)) if len(names) <= most else f"[{hydra_value(names[0])},...]"
