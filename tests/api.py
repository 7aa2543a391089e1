"""Names and signatures of what rnnkit makes public: `python tests/api.py > tests/api.txt` after a decision."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

MODULES = (
    *("rnnkit", "rnnkit.cells", "rnnkit.engines", "rnnkit.layers", "rnnkit.models", "rnnkit.models.forecasting"),
    *(
        "rnnkit.models.forecasting.distributions",
        "rnnkit.data",
        "rnnkit.tasks",
        "rnnkit.insight",
        "rnnkit.testing",
        "rnnkit.training",
    ),
)


def lines() -> Iterator[str]:
    """A line for each public name, and for each method and property that a class defines itself."""
    for place in MODULES:
        module = import_module(place)
        for name in sorted(module.__all__):
            found = getattr(module, name)
            if inspect.ismodule(found):
                continue
            yield f"{place}.{name}{_signature(found)}"
            if inspect.isclass(found):
                yield from (f"{place}.{name}.{member}" for member in _members(found))


def _members(found: type) -> Iterator[str]:
    for name in sorted(name for name in vars(found) if not name.startswith("_")):
        member = inspect.getattr_static(found, name)
        if isinstance(member, property):
            yield name
        elif callable(member) or isinstance(member, classmethod | staticmethod):
            yield f"{name}{_signature(getattr(found, name))}"


def _signature(found: Any) -> str:
    """Names, kinds and defaults; annotations are for mypy."""
    if not callable(found):
        return ""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return "(...)"
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    short = [
        parameter
        if len(repr(parameter.default)) < 60 and " at 0x" not in repr(parameter.default)
        else parameter.replace(default=...)
        for parameter in plain
    ]
    return str(signature.replace(parameters=short, return_annotation=inspect.Signature.empty))


if __name__ == "__main__":
    print("\n".join(lines()))
