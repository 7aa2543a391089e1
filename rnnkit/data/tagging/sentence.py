"""Sentences, as text and encoded."""

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor


class Forms(NamedTuple):
    """The distinct words of several sentences: `characters` [F, K] int32 ids, padded with 0, and `sizes` [F]."""

    characters: Tensor
    sizes: Tensor


class Encoded(NamedTuple):
    """A sentence of T tokens as ids [T, 5] int64: word, vector, row of `forms`, usual tag, tag."""

    ids: Tensor
    forms: Forms


@dataclass(slots=True, eq=False)
class Sentence:
    """A sentence: tokens with their tags.

    Attributes:
        tokens: the tokens.
        tags: the tags; None if unknown.
        lines: the lines of the file, to write predictions in the format of the input.
        places: the indices of the lines of tokens among `lines`.
        place: the file and the line of the first token, for error messages.
        encoded: the ids, set by `setup`.
    """

    tokens: list[str]
    tags: list[str] | None = None
    lines: list[str] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    place: str = ""
    encoded: Encoded | None = None
