"""Character-level tokenizer."""

from collections.abc import Iterable, Iterator
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnkit.data.tokenizers.tokenizer import UNKNOWN, Tokenizer, by_frequency

CODE_POINTS = 0x110000
BLOCK = 1 << 22
"""Characters that are encoded at a time. This bounds the temporary memory for a large corpus."""


class CharTokenizer(Tokenizer):
    """A tokenizer whose tokens are Unicode code points.

    >>> tokenizer = CharTokenizer.train(["hello"])
    >>> tokenizer.tokens
    ('l', 'e', 'h', 'o', '<unk>')
    >>> tokenizer.encode("hole").tolist()
    [2, 3, 0, 1]
    >>> tokenizer.decode([2, 1, 0, 0, 3])
    'hello'
    >>> tokenizer.missing("help!")
    ['p', '!']
    """

    level = "char"
    cuts_anywhere = True

    def __init__(self, tokens: Iterable[str]) -> None:
        super().__init__(tokens)
        self.unknown = self.tokens.index(UNKNOWN)
        characters = [token for token in self.tokens if token != UNKNOWN]
        self._known = frozenset(characters)
        self._id_of_code = np.full(CODE_POINTS, self.unknown, dtype=np.int32)
        codes = [ord(character) for character in characters]
        self._id_of_code[codes] = [i for i in range(len(self.tokens)) if i != self.unknown]

    @classmethod
    def train(cls, texts: Iterable[str], *, min_count: int = 1, vocabulary_size: int | None = None) -> Self:
        """A tokenizer with the characters of the texts, most frequent first."""
        counts = np.zeros(CODE_POINTS, dtype=np.int64)
        for text in texts:
            for codes in _blocks_of_codes(text):
                counts += np.bincount(codes, minlength=CODE_POINTS)
        seen = np.flatnonzero(counts)
        return cls(by_frequency({chr(code): int(counts[code]) for code in seen}, min_count, vocabulary_size))

    @classmethod
    def fault(cls, tokens: list[str]) -> str | None:
        if UNKNOWN not in tokens:
            return f"no token {UNKNOWN}"
        several = any(len(token) != 1 for token in tokens if token != UNKNOWN)
        return "a token of more than one character" if several else None

    def encode(self, text: str) -> Tensor:
        """The characters of `text` as ids [N], int32."""
        ids = np.empty(len(text), dtype=np.int32)
        start = 0
        for codes in _blocks_of_codes(text):
            ids[start : start + len(codes)] = self._id_of_code[codes]
            start += len(codes)
        return torch.from_numpy(ids)

    def missing(self, text: str) -> list[str]:
        """The characters of `text` that are not in the vocabulary."""
        return [character for character in dict.fromkeys(text) if character not in self._known]


def _blocks_of_codes(text: str) -> Iterator[NDArray[np.uint32]]:
    for start in range(0, len(text), BLOCK):
        # a prompt from a terminal may contain lone surrogates; they are treated as code points
        yield np.frombuffer(text[start : start + BLOCK].encode("utf-32-le", "surrogatepass"), dtype="<u4")
