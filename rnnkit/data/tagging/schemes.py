"""Tagging schemes for entities, and conversions between them."""

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
"""For each scheme, the letters of the only word of an entity, of its first, inner and last word.

If two entities of the same type are adjacent, iob1 marks the start of the second with B (Ramshaw and Marcus 1995) and
ioe1 the end of the first with E. If several schemes fit a file equally well, the first in this table is used.
"""


class Span(NamedTuple):
    """An entity: the tokens from `start` up to, not including, `end`."""

    start: int
    end: int
    kind: str


class Place(NamedTuple):
    """The position of a word in its entity, and whether an entity of the same type is adjacent before or after it."""

    is_first: bool
    is_last: bool
    touches_before: bool
    touches_behind: bool


def spans(tags: Sequence[str]) -> list[Span]:
    """The entities of a sentence under the rules of conlleval, in any scheme.

    An entity starts at B or S, after O, E or S, and where the type changes. It ends at E or S, before O, and before the
    start of another entity. Every sequence of tags is therefore valid, including those that violate a scheme.

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
    """The tags of a sentence with these entities, and O elsewhere.

    >>> tags_of([Span(0, 1, "x"), Span(1, 4, "y")], 5, "bioes")
    ['S-x', 'B-y', 'I-y', 'E-y', 'O']
    """
    tags = ["O"] * length
    for token, place, kind in places_of(found):
        part = part_in(scheme, place)
        tags[token] = f"{part}-{kind}" if kind else part
    return tags


def part_in(scheme: str, place: Place) -> str:
    """The letter of a scheme for a word at this place of an entity."""
    if scheme == "iob1" and place.touches_before:
        return "B"
    if scheme == "ioe1" and place.touches_behind:
        return "E"
    only, first, between, last = PARTS[scheme]
    if place.is_first:
        return only if place.is_last else first
    return last if place.is_last else between


def convert(tags: Sequence[str], scheme: str) -> list[str]:
    """Convert tags to another scheme of `PARTS`.

    >>> convert(["B-x", "I-x", "O", "B-y"], "bioes")
    ['B-x', 'E-x', 'O', 'S-y']
    """
    return tags_of(spans(tags), len(tags), scheme)


class Parts:
    """Counts of letters by their places in the entities of some sentences.

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
        """The number of words in entities."""
        return self._counts.total()

    def departures(self, scheme: str) -> int:
        """The number of words in entities whose letter differs from that of this scheme."""
        return sum(count for (place, part), count in self._counts.items() if part != part_in(scheme, place))

    def schemes(self) -> list[str]:
        """The schemes with the fewest departures, and among these with the fewest unused letters."""
        letters = {part for _, part in self._counts}
        cost = {name: (self.departures(name), len(letters - _LETTERS[name])) for name in PARTS}
        return [name for name in PARTS if cost[name] == min(cost.values())]


_LETTERS: Mapping[str, set[str]] = {
    **{name: set(parts) for name, parts in PARTS.items()},
    "iob1": {"I", "B"},
    "ioe1": {"I", "E"},
}


def places_of(found: Sequence[Span]) -> Iterable[tuple[int, Place, str]]:
    """The index, the place and the type of each word in entities."""
    for index, (start, end, kind) in enumerate(found):
        before = index > 0 and found[index - 1].end == start and found[index - 1].kind == kind
        behind = index + 1 < len(found) and found[index + 1].start == end and found[index + 1].kind == kind
        for token in range(start, end):
            first, last = token == start, token == end - 1
            yield token, Place(first, last, first and before, last and behind), kind
