"""Word-level tokenizer."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Self

import numpy as np
import torch
from torch import Tensor

from rnnkit.data.tokenizers.tokenizer import UNKNOWN, Tokenizer, by_frequency

END_OF_LINE = "<eos>"


class WordTokenizer(Tokenizer):
    r"""A tokenizer whose tokens are words separated by whitespace, with one `<eos>` for every newline.

    This is how the literature counts PTB and WikiText-2. A literal `<unk>` in the text is the unknown token. Words are
    not lowercased and punctuation is not separated; the text is expected to be preprocessed. A prompt without a final
    newline gets no `<eos>`, so that the model continues the line.

    >>> tokenizer = WordTokenizer.train(["a b a\n\n"])
    >>> tokenizer.tokens
    ('<eos>', 'a', 'b', '<unk>')
    >>> tokenizer.encode("a c b\n").tolist()
    [1, 3, 2, 0]
    >>> tokenizer.decode([1, 2, 0, 2])
    'a b\nb'
    """

    level = "word"
    ends_lines = True

    def __init__(self, tokens: Iterable[str]) -> None:
        super().__init__(tokens)
        self._id_of = {token: i for i, token in enumerate(self.tokens)}
        self.unknown = self._id_of[UNKNOWN]

    @classmethod
    def train(cls, texts: Iterable[str], *, min_count: int = 1, vocabulary_size: int | None = None) -> Self:
        """A tokenizer with the words of the texts, most frequent first. It always includes the end of a line."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(_words(text))
        return cls(by_frequency(counts, min_count, vocabulary_size, keep=frozenset({END_OF_LINE})))

    @classmethod
    def fault(cls, tokens: list[str]) -> str | None:
        return None if UNKNOWN in tokens else f"no token {UNKNOWN}"

    def encode(self, text: str) -> Tensor:
        """The words and line ends of `text` as ids [N], int32."""
        words = _words(text)
        id_of, unknown = self._id_of, self.unknown
        return torch.from_numpy(np.fromiter((id_of.get(word, unknown) for word in words), np.int32, len(words)))

    def missing(self, text: str) -> list[str]:
        """The words of `text` that are not in the vocabulary."""
        return [word for word in dict.fromkeys(_words(text)) if word not in self._id_of]

    def decoder(self) -> Callable[[int], str]:
        """See `Tokenizer.decoder`. Every word except the first of a line is preceded by a space."""
        blank = ""

        def text_of(word: int) -> str:
            nonlocal blank
            token = self.tokens[word]
            if token == END_OF_LINE:
                blank = ""
                return "\n"
            text, blank = blank + token, " "
            return text

        return text_of


def _words(text: str) -> list[str]:
    return text.replace("\n", f" {END_OF_LINE} ").split()
