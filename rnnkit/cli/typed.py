"""Values given on the command line. The user has approved them by typing them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def typed_values(overrides: Iterable[str]) -> dict[str, Any]:
    """The values of `KEY=VALUE` arguments by dotted key. A mapping `KEY={a: 1}` is flattened to `KEY.a`.

    A choice such as `model=mine` is included by the name of its group. The contents of the chosen file are not, because
    the user did not type them.

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
        except HydraException:  # an option, or an override that Hydra itself reports
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
