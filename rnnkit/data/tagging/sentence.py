"""A sentence, as it was read and as numbers."""

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor


class Forms(NamedTuple):
    """The distinct words of several sentences: `characters` [F, K] int32 ids, 0 behind the shorter, `sizes` [F]."""

    characters: Tensor
    sizes: Tensor


class Encoded(NamedTuple):
    """A sentence of T tokens as ids [T, 5] int64: word, vector, row of `forms`, usual tag, tag."""

    ids: Tensor
    forms: Forms


@dataclass(slots=True, eq=False)
class Sentence:
    """Tokens with their tags, or None where these are not known.

    `lines` are those of the file, and `places` the lines of the tokens among them: what a tagger that writes its
    predictions into the file's own format puts back. `place` is the file and the line of the first token, for messages.
    `encoded` comes with `setup`.
    """

    tokens: list[str]
    tags: list[str] | None = None
    lines: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    place: str = ""
    encoded: Encoded | None = None
