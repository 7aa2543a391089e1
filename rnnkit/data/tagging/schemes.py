"""Tags that mark the words of entities: read in any scheme, written in any other."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rnnkit.layers.tag_schemes import split_tag

PARTS = {
    "bio": ("B", "B", "I", "I"),
    "bio1": ("I", "I", "I", "I"),
    "bioes": ("S", "B", "I", "E"),
    "bilou": ("U", "B", "I", "L"),
}
"""For each scheme, the part that is an entity's only word, its first, one between, its last."""

_OTHER_NAMES = {"L-": "E-", "U-": "S-"}


class Span(NamedTuple):
    """An entity: the tokens from `start` to before `end`."""

    start: int
    end: int
    kind: str


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
        part, new_kind = split_tag(_OTHER_NAMES.get(tag[:2], tag[:2]) + tag[2:])
        goes_on = part in ("I", "E") and before in ("B", "I") and kind == new_kind
        if not goes_on:
            if before != "O":
                found.append(Span(start, place, kind))
            start = place
        before, kind = part, new_kind
    return found


def tags_of(found: Iterable[Span], length: int, scheme: str) -> list[str]:
    """The tags of a sentence with these entities, O elsewhere.

    >>> tags_of([Span(0, 1, "x"), Span(1, 4, "y")], 5, "bioes")
    ['S-x', 'B-y', 'I-y', 'E-y', 'O']
    """
    only, first, between, last = PARTS[scheme]
    tags = ["O"] * length
    before = Span(-1, -1, "")
    for start, end, kind in found:
        parts = [only] if end - start == 1 else [first, *[between] * (end - start - 2), last]
        if scheme == "bio1" and (before.end, before.kind) == (start, kind):
            parts[0] = "B"  # where two of a type touch, and nowhere else
        tags[start:end] = [f"{part}-{kind}" for part in parts]
        before = Span(start, end, kind)
    return tags


def convert(tags: Sequence[str], scheme: str) -> list[str]:
    """The same entities in another scheme: bio, bio1, bioes or bilou.

    >>> convert(["B-x", "I-x", "O", "B-y"], "bioes")
    ['B-x', 'E-x', 'O', 'S-y']
    """
    return tags_of(spans(tags), len(tags), scheme)


def scheme_of(sentences: Iterable[Sequence[str]]) -> str:
    """The scheme that tags are in, as their parts tell.

    bio1 is what has I- at the beginning of entities and B- only where two of a type touch (Ramshaw and Marcus 1995).

    >>> scheme_of([["O", "I-x", "I-x"]]), scheme_of([["B-x", "O"]])
    ('bio1', 'bio')
    """
    parts = {tag[:2] for tags in sentences for tag in tags}
    if parts & {"U-", "L-"}:
        return "bilou"
    if parts & {"S-", "E-"}:
        return "bioes"
    is_bio1 = "I-" in parts and all(list(tags) == convert(tags, "bio1") for tags in sentences)
    return "bio1" if is_bio1 else "bio"
