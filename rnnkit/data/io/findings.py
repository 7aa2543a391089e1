"""Counts of findings while files are read, by kind, with the first places."""

from collections.abc import Iterator

from rnnkit.errors import UserError
from rnnkit.notices import notice

SHOWN = 3
"""The number of places that are kept for each kind."""


class Findings:
    """Counts of findings by kind, with the first places of each kind.

    >>> findings = Findings()
    >>> for line in (3, 5, 8, 13):
    ...     findings.add("lines without a tag", f"a.conll line {line}")
    >>> findings.lines()
    ['lines without a tag: 4 (a.conll line 3, a.conll line 5, a.conll line 8, ...)']
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._places: dict[str, list[str]] = {}

    def __len__(self) -> int:
        """The total number of findings."""
        return sum(self._counts.values())

    def __iter__(self) -> Iterator[str]:
        """The kinds, in the order of their first finding."""
        return iter(self._counts)

    def add(self, kind: str, place: str) -> None:
        """Count one finding."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        places = self._places.setdefault(kind, [])
        if len(places) < SHOWN:
            places.append(place)

    def lines(self) -> list[str]:
        """One line for each kind."""
        more = {kind: ", ..." if count > SHOWN else "" for kind, count in self._counts.items()}
        return [
            f"{kind}: {count:,} ({', '.join(self._places[kind])}{more[kind]})" for kind, count in self._counts.items()
        ]

    def refuse(self, argument: str, expected: str, fix: str) -> None:
        """Raise one UserError that lists all kinds, unless there are no findings."""
        if self:
            raise UserError(argument, expected, "; ".join(self.lines()), fix=fix)

    def print(self, *, prefix: str = "") -> None:
        """Print one notice for each kind, and reset the counts."""
        for line in self.lines():
            notice(prefix + line)
        self.__init__()  # type: ignore[misc]
