"""A corpus of documents that are stored while they are read."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import NamedTuple

import numpy as np

from rnnkit.data.corpus.measure import Measure, codes_of
from rnnkit.data.corpus.store import Store
from rnnkit.data.io.decoding import NotTextError, text_blocks
from rnnkit.data.io.findings import Findings
from rnnkit.data.io.sources import EMPTY, NO_TEXT, Paths, files, no_text
from rnnkit.data.tokenizers import Tokenizer
from rnnkit.data.tokenizers.byte import as_bytes

READ = 1 << 22
"""Bytes of a stored text that are read at a time."""


class Block(NamedTuple):
    """A piece of a text: the range of its bytes in the store, and its measure."""

    start: int
    stop: int
    measure: Measure


class Document(NamedTuple):
    """The text of one file. `name` is its path relative to the given folder or glob: equal on every machine."""

    name: str
    blocks: list[Block]
    newline: bool  # whether a newline was added after its last line


class Corpus:
    r"""The text of files as UTF-8 bytes (`content`), with bounded memory.

    Every file is read only once, so that later changes to it have no effect.

    Args:
        kind: the class of the tokenizer. It determines how files are read and where a text may be split.

    >>> from rnnkit.data import CharTokenizer
    >>> corpus = Corpus(CharTokenizer)
    >>> a, b = corpus.add("a", ["to be ", "or"]), corpus.add("b", ["not"])
    >>> ["".join(corpus.texts(corpus.joined(documents))) for documents in ([a, b], [b, a])]
    ['to be or\nnot', 'not\nto be or']
    """

    def __init__(self, kind: type[Tokenizer]) -> None:
        self.kind = kind
        self.content = Store()

    def read(self, paths: Paths, argument: str) -> list[Document]:
        """Read files under the rules of `rnnkit.data.io.sources.read`.

        Raises:
            UserError: as `rnnkit.data.io.sources.read`.
        """
        found = files(paths, argument)
        for file in found:
            with suppress(OSError):  # reading the file raises the error
                self.content.expected += file.path.stat().st_size if file.path.is_file() else 0
        documents = []
        notes = Findings()
        for file in found:
            mark = len(self.content)
            blocks = text_blocks(file.path, raw=self.kind.raw, argument=argument, notes=notes)
            try:
                first = next(blocks, None)
                if first is None:
                    notes.add(EMPTY, str(file.path))
                else:
                    documents.append(self.add(file.name, chain([first], blocks)))
            except NotTextError:
                if file.named:
                    raise
                notes.add(NO_TEXT, str(file.path))
                self.content.truncate(mark)
        if not documents:
            raise no_text(paths, len(found), argument)
        for document in documents[:-1]:
            if document.newline:
                notes.add("files whose last line has no newline, which is added before the next file", document.name)
        notes.print()
        return documents

    def add(self, name: str, texts: Iterable[str]) -> Document:
        """Store a document from its pieces. A missing last newline is added, unless the tokenizer accepts any bytes."""
        blocks, ended = [], False
        for text in filter(None, texts):
            ended = text.endswith("\n")
            blocks.append(self._append(text))
        newline = not ended and not self.kind.raw
        if newline:
            blocks.append(self._append("\n"))
        return Document(name, blocks, newline)

    def joined(self, documents: Sequence[Document]) -> list[Block]:
        """The documents joined to one text.

        If the last line of a file has no newline, one is inserted before the next file. If the tokenizer ends a line at
        the end of a text, one is also added after the last file. Raw bytes are joined unchanged.
        """
        blocks = [block for document in documents for block in document.blocks]
        if not self.kind.ends_lines and documents and documents[-1].newline:
            blocks.pop()
        return blocks

    def cut(self, blocks: Sequence[Block], characters: int) -> tuple[list[Block], list[Block]]:
        """Split a text after a number of characters.

        Unless the tokenizer allows splits anywhere, the split moves to the end of the line.

        Returns:
            The blocks before and after the split.
        """
        if characters == 0:
            return [], [*blocks]
        for index, block in enumerate(blocks):
            parts = self._cut(block, characters)
            if parts is not None:
                return [*blocks[:index], parts[0]], [*parts[1:], *blocks[index + 1 :]]
            characters -= block.measure.characters
        return [*blocks], []

    def texts(self, blocks: Sequence[Block]) -> Iterator[str]:
        """The text in parts that can be tokenized separately."""
        held = b""
        for start, stop in byte_ranges(blocks):
            for begin in range(start, stop, READ):
                held += self.content.read(begin, min(begin + READ, stop)).tobytes()
                end = self._last_place_to_cut(held)
                if end:
                    yield _decoded(held[:end])
                    held = held[end:]
        if held:
            yield _decoded(held)

    def _append(self, text: str) -> Block:
        start = len(self.content)
        self.content.append(np.frombuffer(as_bytes(text), np.uint8))
        return Block(start, len(self.content), Measure.of(text, codes_of(text)))

    def _cut(self, block: Block, characters: int) -> tuple[Block, ...] | None:
        """The block split in two, or whole if the split is at its end; None if the split is in a later block."""
        if characters > block.measure.characters:
            return None
        content = self.content.read(block.start, block.stop).tobytes()
        before = len(as_bytes(_decoded(content)[: max(characters, 0)]))
        if not self.kind.cuts_anywhere:
            before = content.find(b"\n", max(before - 1, 0)) + 1
            if before == 0:
                return None
        if before == len(content):
            return (block,)
        places = (block.start, block.start + before, block.stop)
        texts = (_decoded(content[:before]), _decoded(content[before:]))
        measures = (Measure.of(text, codes_of(text)) for text in texts)
        return tuple(Block(*place) for place in zip(places, places[1:], measures, strict=False))

    def _last_place_to_cut(self, content: bytes) -> int:
        """The position after the last newline, or before the last space if there is no newline, or 0."""
        if self.kind.cuts_anywhere:
            return _whole_characters(content)
        return content.rfind(b"\n") + 1 or _last_single_blank(content)


def byte_ranges(blocks: Iterable[Block]) -> list[tuple[int, int]]:
    """The byte ranges of the blocks in the store. Adjacent ranges are merged."""
    found: list[tuple[int, int]] = []
    for block in blocks:
        if found and found[-1][1] == block.start:
            found[-1] = found[-1][0], block.stop
        else:
            found.append((block.start, block.stop))
    return found


def _whole_characters(content: bytes) -> int:
    """The number of bytes without a last character that may be incomplete."""
    end = len(content)
    while end and len(content) - end < 3 and content[end - 1] & 0xC0 == 0x80:
        end -= 1
    return end - 1 if end and content[end - 1] >= 0xC0 else len(content)


def _last_single_blank(content: bytes) -> int:
    """The position of the last space between two printable characters; 0 if there is none."""
    place = content.rfind(b" ", 0, -1)
    while place > 0 and not (33 <= content[place - 1] < 127 and 33 <= content[place + 1] < 127):
        place = content.rfind(b" ", 0, place)
    return max(place, 0)


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")
