"""The globals, class attributes and environment variables that a step reads, also through functions that it calls."""

import copy
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from rnnkit.cells.base import Cell
from rnnkit.engines.compiled.trace.frozen import frozen
from rnnkit.engines.compiled.trace.graphs import Untraceable
from rnnkit.engines.compiled.trace.search import COLLECTIONS, MISSING, Search, is_fixed, is_users, value_at


class Readings:
    """The values that a step reads, by name and namespace; `key` changes whenever one of them does.

    Names are found in the bytecode, without running it. They include more than a step reads, and all that it can read,
    except under names that are computed at run time.
    """

    def __init__(self, cell: Cell[Any]) -> None:
        places = list(Search(cell).places.values())
        self.key: Hashable = tuple(frozen(value_at(place)) for place in places)
        self.names = [name for _, name in places]
        # a plain function changes only by being replaced, or if its code is replaced
        fixed = [(*place, value_at(place)) for place in places if is_fixed(value_at(place))]
        self._fixed = fixed
        self._codes = [(value, value.__code__) for *_, value in fixed if is_users(value)]
        self._others = [place for place in places if not is_fixed(value_at(place))]
        self._values = self._of_others()

    def are_unchanged(self) -> bool:
        """Whether nothing has changed."""
        for namespace, name, value in self._fixed:
            if namespace.get(name, MISSING) is not value:
                return False
        for function, code in self._codes:
            if function.__code__ is not code or function.__defaults__ or function.__kwdefaults__:
                return False
        return not self._others or self._values == self._of_others()

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Restore values that change in the block, and raise `Untraceable` with their name."""
        copies = [
            copy.copy(value_at(place)) if type(value_at(place)) in COLLECTIONS else None for place in self._others
        ]
        changed: list[str] = []
        try:
            yield
        finally:
            for place, before, kept, now in zip(self._others, self._values, copies, self._of_others(), strict=True):
                if before != now:
                    changed.append(place[1])
                    _refill(value_at(place), kept)
            for namespace, name, value in self._fixed:
                if namespace.get(name, MISSING) is not value:
                    changed.append(name)
                    if isinstance(namespace, dict):
                        namespace[name] = value
        if changed:
            raise Untraceable(f"its step changes {changed[0]}, which is not in its state")

    def _of_others(self) -> list[Hashable]:
        return [frozen(value_at(place)) for place in self._others]


def readings(cell: Cell[Any]) -> Readings:
    """Return the values that the step of a cell reads at present."""
    found = _readings.get(cell)
    if found is None or not found.are_unchanged():
        found = _readings[cell] = Readings(cell)
    return found


_readings: "WeakKeyDictionary[Cell[Any], Readings]" = WeakKeyDictionary()


def _refill(collection: Any, before: Any) -> None:
    if before is not None and type(collection) is type(before):
        collection.clear()
        (collection.update if isinstance(collection, (dict, set)) else collection.extend)(before)
