"""Documents, stored as they are read."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from rnnkit.data.findings import Findings
from rnnkit.data.sources import EMPTY, NO_TEXT, Paths, files, no_text
from rnnkit.data.stream.blocks import NotTextError, text_blocks
from rnnkit.data.stream.codes import Block, ByteCodes, CharCodes, Codes
from rnnkit.data.stream.words import WordCodes

CODES: dict[str, type[Codes]] = {"char": CharCodes, "byte": ByteCodes, "word": WordCodes}


class Document(NamedTuple):
    """One file's text. `name` is its path below the folder or glob that it was found by: the same on every machine."""

    name: str
    blocks: list[Block]
    newline: bool  # one was added, because its last line lacked it


class Corpus:
    """The text of files as numbers (`codes`); memory does not grow with them.

    Every file is read once, so that what happens to it later does no harm.

    `level` is char, byte or word.

    >>> corpus = Corpus("char")
    >>> a, b = corpus.add("a", ["to be ", "or"]), corpus.add("b", ["not"])
    >>> [pieces(corpus.joined(documents)) for documents in ([a, b], [b, a])]
    [[(0, 12)], [(9, 13), (0, 8)]]
    """

    def __init__(self, level: str) -> None:
        self.level = level
        self.codes = CODES[level]()

    def read(self, paths: Paths, argument: str) -> list[Document]:
        """Read files as `rnnkit.data.sources.read` does, and raise what it raises."""
        found = files(paths, argument)
        self.codes.numbers.expected += sum(file.path.stat().st_size for file in found if file.path.is_file())
        documents = []
        notes = Findings()
        for file in found:
            mark = self.codes.mark()
            blocks = text_blocks(file.path, raw=self.level == "byte", argument=argument, notes=notes)
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
                self.codes.rewind(mark)
        if not documents:
            raise no_text(paths, len(found), argument)
        for document in documents[:-1]:
            if document.newline:
                notes.add("files whose last line has no newline, which is added before the next file", document.name)
        notes.print()
        return documents

    def add(self, name: str, texts: Iterable[str]) -> Document:
        """Store a document that comes in pieces; a last line without its newline gets one, but not at byte level."""
        blocks, ended = [], False
        for text in texts:
            ended = text.endswith("\n") if text else ended
            blocks.append(self.codes.append(text))
        newline = not ended and self.level != "byte"
        if newline:
            blocks.append(self.codes.append("\n"))
        return Document(name, [block for block in blocks if block], newline)

    def joined(self, documents: Sequence[Document]) -> list[Block]:
        """The documents as one text.

        Where a file's last line lacks its newline, there is one between it and the next file; at word level also
        behind the last file, because there every line ends in `<eos>`. At byte level nothing is added.
        """
        blocks = [block for document in documents for block in document.blocks]
        if self.level == "char" and documents and documents[-1].newline:
            blocks.pop()
        return blocks

    def cut(self, blocks: Sequence[Block], characters: int) -> tuple[list[Block], list[Block]]:
        """What is before and what is behind a cut after so many characters; words are cut at the end of a line."""
        if characters == 0:
            return [], [*blocks]
        for index, block in enumerate(blocks):
            parts = self.codes.cut(block, characters)
            if parts is not None:
                return [*blocks[:index], *parts[0]], [*parts[1], *blocks[index + 1 :]]
            characters -= block.measure.characters
        return [*blocks], []


def pieces(blocks: Iterable[Block]) -> list[tuple[int, int]]:
    """From where to where the blocks are stored, those that follow each other as one."""
    found: list[tuple[int, int]] = []
    for block in blocks:
        if found and found[-1][1] == block.start:
            found[-1] = found[-1][0], block.stop
        else:
            found.append((block.start, block.stop))
    return found
