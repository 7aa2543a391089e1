"""A text as numbers before its vocabulary is known: by level, and back to the places where it may be cut."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnkit.data.stream.measure import CODE_POINTS, Measure, codes_of
from rnnkit.data.stream.store import Store
from rnnkit.data.tokenizers import Tokenizer
from rnnkit.data.tokenizers.byte import as_bytes

READ = 1 << 22
"""Numbers that are read back at a time."""


class Block(NamedTuple):
    """A piece of a text: where its numbers stand in the store, and its measure."""

    start: int
    stop: int
    line: int  # words only: lines that ended before it
    measure: Measure


class Codes(ABC):
    """Numbers that stand for the tokens of a text, the same whatever the vocabulary will be.

    `numbers` is where they are stored. A block that `append` returns can be cut; blocks of several texts make a corpus.
    """

    def __init__(self) -> None:
        self.numbers = Store()

    @abstractmethod
    def append(self, text: str) -> Block | None:
        """Store the text, or as much of it as ends with a token; None where that is nothing."""

    @abstractmethod
    def cut(self, block: Block, characters: int) -> tuple[list[Block], list[Block]] | None:
        """What is before and what is behind a cut after so many characters of a block, more than 0.

        None says that the cut is in one of the blocks that follow. What is behind a cut is not to be cut again.
        """

    @abstractmethod
    def counts(self, pieces: Iterable[tuple[int, int]]) -> dict[str, int]:
        """How often every token occurs between these places in the store."""

    @abstractmethod
    def ids(self, tokenizer: Tokenizer) -> NDArray[np.int32]:
        """The id of every number."""

    def mark(self) -> tuple[int, ...]:
        """How much is stored."""
        return (len(self.numbers),)

    def rewind(self, mark: tuple[int, ...]) -> None:
        """Forget what was appended since `mark` told that."""
        self.numbers.truncate(mark[0])

    def _read(self, pieces: Iterable[tuple[int, int]]) -> Iterator[NDArray[Any]]:
        for start, stop in pieces:
            for begin in range(start, stop, READ):
                yield self.numbers.read(begin, min(begin + READ, stop))

    def _counted(self, pieces: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
        """How often every number occurs, up to the largest."""
        total = np.zeros(0, np.int64)
        for numbers in self._read(pieces):
            counts = np.bincount(numbers, minlength=len(total))
            counts[: len(total)] += total
            total = counts
        return total


class _Positions(Codes):
    """Levels whose numbers can be turned back into text."""

    def append(self, text: str) -> Block | None:
        if not text:
            return None
        start = len(self.numbers)
        codes_N = codes_of(text)
        self.numbers.append(self._encoded(text, codes_N))
        return Block(start, len(self.numbers), 0, Measure.of(text, codes_N))

    def cut(self, block: Block, characters: int) -> tuple[list[Block], list[Block]] | None:
        if characters >= block.measure.characters:
            return ([block], []) if characters == block.measure.characters else None
        text = self._decoded(self.numbers.read(block.start, block.stop))
        parts = text[:characters], text[characters:]
        codes = [codes_of(part) for part in parts]
        middle = block.start + len(self._encoded(parts[0], codes[0]))
        before, behind = (Measure.of(part, codes_N) for part, codes_N in zip(parts, codes, strict=True))
        return [Block(block.start, middle, 0, before)], [Block(middle, block.stop, 0, behind)]

    @abstractmethod
    def _encoded(self, text: str, codes_N: NDArray[Any]) -> NDArray[Any]: ...

    @abstractmethod
    def _decoded(self, numbers_N: NDArray[Any]) -> str: ...


class CharCodes(_Positions):
    """Characters as numbers: ASCII as itself, others in the order in which they are first met, which keeps them small.

    >>> codes = CharCodes()
    >>> block = codes.append("über")
    >>> codes.numbers.read(0, 4).tolist()
    [128, 98, 101, 114]
    >>> codes.counts([(0, 4)])
    {'b': 1, 'e': 1, 'r': 1, 'ü': 1}
    """

    def __init__(self) -> None:
        super().__init__()
        self._codes = [*range(128)]  # of every number
        self._number = np.zeros(CODE_POINTS, np.uint32)  # of every code point, 0 where it was not met
        self._number[:128] = self._codes

    def counts(self, pieces: Iterable[tuple[int, int]]) -> dict[str, int]:
        counted = self._counted(pieces).tolist()
        return {chr(code): times for code, times in zip(self._codes, counted, strict=False) if times}

    def ids(self, tokenizer: Tokenizer) -> NDArray[np.int32]:
        known = {token: number for number, token in enumerate(tokenizer.tokens)}
        return np.array([known.get(chr(code), tokenizer.unknown) for code in self._codes], np.int32)

    def _encoded(self, text: str, codes_N: NDArray[Any]) -> NDArray[Any]:
        if text.isascii():
            return codes_N
        numbers_N: NDArray[Any] = self._number[codes_N]
        new = np.unique(codes_N[(numbers_N == 0) & (codes_N > 0)])
        if len(new):
            self._number[new] = range(len(self._codes), len(self._codes) + len(new))
            self._codes.extend(new.tolist())
            numbers_N = self._number[codes_N]
        return numbers_N

    def _decoded(self, numbers_N: NDArray[Any]) -> str:
        content: bytes = np.array(self._codes, "<u4")[numbers_N].tobytes()
        return content.decode("utf-32-le", "surrogatepass")


class ByteCodes(_Positions):
    """Bytes as themselves; text that was read "surrogateescape"."""

    def counts(self, pieces: Iterable[tuple[int, int]]) -> dict[str, int]:
        return {}  # the vocabulary of bytes is given

    def ids(self, tokenizer: Tokenizer) -> NDArray[np.int32]:
        return np.arange(256, dtype=np.int32)

    def _encoded(self, text: str, codes_N: NDArray[Any]) -> NDArray[Any]:
        return codes_N if text.isascii() else np.frombuffer(as_bytes(text), np.uint8)

    def _decoded(self, numbers_N: NDArray[Any]) -> str:
        content: bytes = numbers_N.tobytes()
        return content.decode("utf-8", "surrogateescape")
