"""Words as numbers in the order in which they are first met."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import count

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.stream.codes import Block, Codes
from rnnkit.data.stream.measure import Measure, codes_of
from rnnkit.data.stream.store import Store
from rnnkit.data.tokenizers import Tokenizer
from rnnkit.data.tokenizers.byte import as_bytes
from rnnkit.data.tokenizers.word import END_OF_LINE

_LINE = "\0"
"""Stands for the end of a line until the vocabulary is known: no text holds it, though one may hold "<eos>"."""


class WordCodes(Codes):
    r"""Words as numbers, and the end of every line as 0. Texts that are appended end with a newline at last.

    >>> codes = WordCodes()
    >>> codes.append("to be or no"), codes.append("t to be\n").measure.words
    (Block(start=0, stop=3, ...), 3)
    >>> codes.counts([(0, 7)])
    {'<eos>': 1, 'to': 2, 'be': 2, 'or': 1, 'not': 1}
    """

    def __init__(self) -> None:
        super().__init__()
        self._number: dict[str, int] = defaultdict(count().__next__)
        self._number[_LINE]
        self._begun: list[str] = []  # pieces of a word whose end has not come
        # for every line the place of its newline within its block, in characters and in bytes
        self._newlines = Store(), Store()

    def append(self, text: str) -> Block | None:
        head = _up_to_the_last_blank(text)
        if not head:
            self._begun.append(text)
            return None
        whole = "".join([*self._begun, head])
        self._begun = [text[len(head) :]]
        words = whole.replace("\n", f" {_LINE} ").split()
        start, line = len(self.numbers), len(self._newlines[0])
        number = self._number
        self.numbers.append(np.fromiter(map(number.__getitem__, words), np.uint32, len(words)))
        codes_N = codes_of(whole)
        newlines = np.flatnonzero(codes_N == 10)
        self._newlines[0].append(newlines)
        if not whole.isascii():
            newlines = np.flatnonzero(np.frombuffer(as_bytes(whole), np.uint8) == 10)
        self._newlines[1].append(newlines)
        return Block(start, len(self.numbers), line, Measure.of(whole, codes_N))

    def cut(self, block: Block, characters: int) -> tuple[list[Block], list[Block]] | None:
        """The cut moves on to the end of its line."""
        last = block.line + block.measure.newlines
        newlines = self._newlines[0].read(block.line, last)
        line = int(np.searchsorted(newlines, characters - 1))
        if line == len(newlines):
            return None
        ended, tokens = line + 1, int(np.flatnonzero(self.numbers.read(block.start, block.stop) == 0)[line]) + 1
        whole, middle = block.measure, block.start + tokens
        before = Measure(
            characters=int(newlines[line]) + 1,
            bytes=int(self._newlines[1].read(block.line + line, last)[0]) + 1,
            words=tokens - ended,
            newlines=ended,
            opens=whole.opens,
            closes=False,
            ends_line=True,
        )
        front = [Block(block.start, middle, block.line, before)]
        if before.characters == whole.characters:
            return front, []
        behind = Measure(
            characters=whole.characters - before.characters,
            bytes=whole.bytes - before.bytes,
            words=whole.words - before.words,
            newlines=whole.newlines - ended,
            opens=False,  # it does not matter, since nothing goes on across a newline
            closes=whole.closes,
            ends_line=whole.ends_line,
        )
        return front, [Block(middle, block.stop, block.line + ended, behind)]

    def counts(self, pieces: Iterable[tuple[int, int]]) -> dict[str, int]:
        counted = self._counted(pieces).tolist()
        counts: Counter[str] = Counter()
        for word, times in zip(self._number, counted, strict=False):
            if times:
                counts[END_OF_LINE if word == _LINE else word] += times
        return dict(counts)

    def ids(self, tokenizer: Tokenizer) -> NDArray[np.int32]:
        assert tokenizer.unknown is not None
        id_of = {token: number for number, token in enumerate(tokenizer.tokens)}
        ids = np.fromiter((id_of.get(word, tokenizer.unknown) for word in self._number), np.int32, len(self._number))
        ids[0] = id_of[END_OF_LINE]
        return ids

    def mark(self) -> tuple[int, ...]:
        return len(self.numbers), *map(len, self._newlines)

    def rewind(self, mark: tuple[int, ...]) -> None:
        self._begun = []
        for store, length in zip((self.numbers, *self._newlines), mark, strict=True):
            store.truncate(length)


def _up_to_the_last_blank(text: str) -> str:
    if text[-1:].isspace():
        return text
    return text[: len(text) - len(text.rsplit(None, 1)[-1])] if text else ""
