"""Quotes around values that Hydra cannot parse, such as the names of files and columns as people have them."""

import re
from collections.abc import Iterable
from pathlib import Path

from rnnkit.quoting import hydra_value

_PLAIN = re.compile(r"[A-Za-z0-9_./:+~%-]*")
_SPECIAL = re.compile(r"""['"{}$\\]""")
_LIST = re.compile(r"\[([^\[\]]*)\]")
_NUMBER = re.compile(r"-?\d+(\.\d*)?([eE][+-]?\d+)?")


def quoted(overrides: Iterable[str]) -> list[str]:
    """Return overrides with quotes around values that Hydra could not parse, and around names of files with a comma.

    >>> quoted(["data.path=report (1).csv", "data.target=[CO(GT),b]", "seed=1,2", "data.path='a b'"])
    ["data.path='report (1).csv'", "data.target=['CO(GT)',b]", 'seed=1,2', "data.path='a b'"]
    """
    return [_quoted(override) for override in overrides]


def _quoted(override: str) -> str:
    key, equals, value = override.partition("=")
    if not equals or override.startswith("-") or _PLAIN.fullmatch(value) or _SPECIAL.search(value):
        return override
    several = _LIST.fullmatch(value)
    if several is None and "," in value:
        return f"{key}={hydra_value(value)}" if _is_file(value) else override
    if _is_parsed(override):
        return override
    if several is None:
        return f"{key}={hydra_value(value)}"
    return f"{key}=[{','.join(_item(item.strip()) for item in several[1].split(','))}]"


def _item(value: str) -> str:
    return value if _NUMBER.fullmatch(value) else hydra_value(value)


def _is_file(value: str) -> bool:
    try:
        return Path(value).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def _is_parsed(override: str) -> bool:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_override(override)
    except HydraException:
        return False
    return True
