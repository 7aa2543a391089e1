"""What stands on the command line itself, and so has its user's consent."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def typed_values(overrides: Iterable[str]) -> dict[str, Any]:
    """The values of `KEY=VALUE`, by dotted key; those of `KEY={a: 1}` each by a key of its own.

    A choice, `model=mine`, is a value as well, but none that a key of the composed configuration has: what the chosen
    file says has not been typed.

    >>> typed_values(["model.cell._target_=my_lab.Cell", "+callbacks.mine={_target_: my_lab.Callback, every: 2}"])
    {'model.cell._target_': 'my_lab.Cell', 'callbacks.mine._target_': 'my_lab.Callback', 'callbacks.mine.every': 2}
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    found: dict[str, Any] = {}
    for override in overrides:
        try:
            parsed = parser.parse_override(override)
        except HydraException:  # an option, or what Hydra itself complains of
            continue
        if not parsed.is_delete():
            found.update(_leaves(parsed.key_or_group, parsed.value()))
    return found


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _leaves(f"{key}.{name}", part)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _leaves(f"{key}[{index}]", part)
    else:
        yield key, value
