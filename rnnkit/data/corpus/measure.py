"""Lengths of texts in units that do not depend on a tokenizer."""

from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.tokenizers.byte import as_bytes
from rnnkit.data.tokenizers.char import CODE_POINTS

_PAST_THE_LAST_BLANK = 0x3001


class Measure(NamedTuple):
    """The length of a nonempty piece of text, with its first and last characters to detect words across pieces."""

    characters: int
    bytes: int
    words: int  # separated by whitespace
    newlines: int
    opens: bool  # whether the first character is not whitespace
    closes: bool
    ends_line: bool  # the last character is a newline

    @classmethod
    def of(cls, text: str, codes_N: NDArray[Any]) -> "Measure":
        r"""The measure of `text`, whose code points are `codes_N`.

        >>> Measure.of("to be,\nor", codes_of("to be,\nor"))[:4]
        (9, 9, 3, 1)
        """
        if len(codes_N) == 0:
            raise ValueError("an empty text has no first character")
        blank_N = _blanks()[codes_N]
        return cls(
            characters=len(text),
            bytes=len(text) if text.isascii() else len(as_bytes(text)),
            words=int(np.count_nonzero(blank_N[:-1] > blank_N[1:])) + (not blank_N[0]),
            newlines=text.count("\n"),
            opens=not blank_N[0],
            closes=not blank_N[-1],
            ends_line=text.endswith("\n"),
        )


class Length(NamedTuple):
    """The length of a text. The end of every line counts as a word, as for perplexities in the literature."""

    characters: int
    bytes: int
    words: int

    @classmethod
    def of(cls, pieces: Iterable[Measure]) -> "Length":
        r"""The length of a text from the measures of its pieces, in order.

        >>> Length.of([Measure.of(text, codes_of(text)) for text in ("to b", "e,\nor")])
        Length(characters=9, bytes=9, words=5)
        """
        pieces = list(pieces)
        divided = sum(one.closes and other.opens for one, other in pairwise(pieces))
        lines = sum(piece.newlines for piece in pieces) + (not pieces or not pieces[-1].ends_line)
        words = sum(piece.words for piece in pieces) - divided + lines
        return cls(sum(piece.characters for piece in pieces), sum(piece.bytes for piece in pieces), words)


def codes_of(text: str) -> NDArray[Any]:
    """The code points [N] of a text, including lone surrogates, as uint8 if all are ASCII and uint32 otherwise."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


@cache
def _blanks() -> NDArray[np.bool_]:
    """For every code point, whether `str.split` splits at it."""
    blanks = np.zeros(CODE_POINTS, np.bool_)
    blanks[:_PAST_THE_LAST_BLANK] = [chr(code).isspace() for code in range(_PAST_THE_LAST_BLANK)]
    return blanks
