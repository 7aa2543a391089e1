"""Tags that mark the words of entities: read in any scheme, written in any other."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rnnkit.tags import split_tag

PARTS = {
    "bio": ("B", "B", "I", "I"),
    "bioes": ("S", "B", "I", "E"),
    "bilou": ("U", "B", "I", "L"),
    "bmes": ("S", "B", "M", "E"),
    "bmewo": ("W", "B", "M", "E"),
    "io": ("I", "I", "I", "I"),
    "iob1": ("I", "I", "I", "I"),
    "ioe2": ("E", "I", "I", "E"),
    "ioe1": ("I", "I", "I", "I"),
}
"""For each scheme, the part that is an entity's only word, its first, one between, its last.

Where two entities of a type touch, iob1 begins the second with B (Ramshaw and Marcus 1995) and ioe1 ends the first with
E. Of schemes that fit a file equally well, the first of this table is taken.
"""


class Span(NamedTuple):
    """An entity: the tokens from `start` to before `end`."""

    start: int
    end: int
    kind: str


class Place(NamedTuple):
    """Where in its entity a word stands, and whether an entity of the same type touches it before or behind."""

    is_first: bool
    is_last: bool
    touches_before: bool
    touches_behind: bool


def spans(tags: Sequence[str]) -> list[Span]:
    """The entities of a sentence as conlleval finds them, in whatever scheme.

    An entity begins with B or S, after O, E or S, and where the type changes; it ends with E or S and before all that
    begins or is O. So every sequence of tags has a meaning, the illegal ones of a scheme included.

    >>> spans(["I-x", "I-x", "B-x", "O", "I-y", "I-x"])
    [Span(start=0, end=2, kind='x'), Span(start=2, end=3, kind='x'), Span(start=4, end=5, kind='y'), Span(start=5, ...)]
    """
    found: list[Span] = []
    start, before, kind = 0, "O", ""
    for place, tag in enumerate([*tags, "O"]):
        part, new_kind = split_tag(tag)
        goes_on = part in ("I", "E") and before in ("B", "I") and kind == new_kind
        if not goes_on:
            if before != "O":
                found.append(Span(start, place, kind))
            start = place
        before, kind = part, new_kind
    return found


def tags_of(found: Sequence[Span], length: int, scheme: str) -> list[str]:
    """The tags of a sentence with these entities, O elsewhere.

    >>> tags_of([Span(0, 1, "x"), Span(1, 4, "y")], 5, "bioes")
    ['S-x', 'B-y', 'I-y', 'E-y', 'O']
    """
    tags = ["O"] * length
    for token, place, kind in places_of(found):
        part = part_in(scheme, place)
        tags[token] = f"{part}-{kind}" if kind else part
    return tags


def part_in(scheme: str, place: Place) -> str:
    """The letter that a scheme has for a word at this place of an entity."""
    if scheme == "iob1" and place.touches_before:
        return "B"
    if scheme == "ioe1" and place.touches_behind:
        return "E"
    only, first, between, last = PARTS[scheme]
    if place.is_first:
        return only if place.is_last else first
    return last if place.is_last else between


def convert(tags: Sequence[str], scheme: str) -> list[str]:
    """The same entities in another of the schemes of `PARTS`.

    >>> convert(["B-x", "I-x", "O", "B-y"], "bioes")
    ['B-x', 'E-x', 'O', 'S-y']
    """
    return tags_of(spans(tags), len(tags), scheme)


class Parts:
    """Which letters stand at which places of the entities of some sentences.

    >>> parts = Parts([["I-x", "O", "I-y", "I-y"], ["I-x", "B-x", "O", "B-y"]])
    >>> parts.schemes(), parts.departures("iob1"), parts.words
    (['iob1'], 1, 6)
    """

    def __init__(self, sentences: Iterable[Sequence[str]]) -> None:
        self._counts: Counter[tuple[Place, str]] = Counter()
        for tags in sentences:
            self._counts.update((place, tags[token][0]) for token, place, _ in places_of(spans(tags)))

    @property
    def words(self) -> int:
        """The words of entities."""
        return self._counts.total()

    def departures(self, scheme: str) -> int:
        """How many words of entities have another letter than this scheme would give them."""
        return sum(count for (place, part), count in self._counts.items() if part != part_in(scheme, place))

    def schemes(self) -> list[str]:
        """The schemes with the fewest departures, and of these the ones that lack the fewest of the letters."""
        letters = {part for _, part in self._counts}
        cost = {name: (self.departures(name), len(letters - _LETTERS[name])) for name in PARTS}
        return [name for name in PARTS if cost[name] == min(cost.values())]


_LETTERS: Mapping[str, set[str]] = {
    **{name: set(parts) for name, parts in PARTS.items()},
    "iob1": {"I", "B"},
    "ioe1": {"I", "E"},
}


def places_of(found: Sequence[Span]) -> Iterable[tuple[int, Place, str]]:
    """Each word of entities: its number, its place and its type."""
    for index, (start, end, kind) in enumerate(found):
        before = index > 0 and found[index - 1].end == start and found[index - 1].kind == kind
        behind = index + 1 < len(found) and found[index + 1].start == end and found[index + 1].kind == kind
        for token in range(start, end):
            first, last = token == start, token == end - 1
            yield token, Place(first, last, first and before, last and behind), kind
