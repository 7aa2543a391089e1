"""Sentences in CoNLL-U (universaldependencies.org/format), checked as level 1 of the validator of UD checks them."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rnnkit.data.io.findings import Findings
from rnnkit.data.tagging.sentence import Sentence

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""The columns by name."""

_WORD = re.compile(r"[1-9][0-9]{0,8}")
_RANGE = re.compile(r"([1-9][0-9]{0,8})-([1-9][0-9]{0,8})")
_EMPTY_NODE = re.compile(r"([0-9]{1,9})\.([1-9][0-9]{0,8})")
_BLANK = re.compile(r"\s")
_WITH_BLANKS = r"\S+(?:[^\S\t\r]\S+)*"  # single blanks between words
_SOUND = re.compile(r"\t".join([r"\S+", _WITH_BLANKS, _WITH_BLANKS, *[r"\S+"] * 6, _WITH_BLANKS]))


class Block(NamedTuple):
    """Lines down to an empty one, the number of the first, and how they end."""

    lines: list[str]
    first: int
    end: str  # the blank line behind, or "" where the file ends first
    is_cut: bool  # the file ends without a newline


def read_conllu(
    lines: Iterable[str],
    name: str,
    columns: tuple[int, int],
    faults: Findings,
    notes: Findings,
    *,
    tagged: bool = True,
    keep: bool = False,
) -> Iterator[Sentence]:
    r"""The sentences of a file, each as soon as the empty line behind it has come.

    Multi-word tokens (3-4) and empty nodes (8.1) are no tokens. What breaks the format is added to `faults`, by kind
    and with its line; such a sentence is not handed on. Departures that change no word are added to `notes`: empty
    lines in excess, or with blanks in them, or missing at the end; comments inside or behind sentences; lines that are
    not in the normal form NFC.

    Args:
        lines: with their newlines.
        name: of the file, for messages.
        columns: the numbers of the columns of tokens and tags.
        faults: see above.
        notes: see above.
        tagged: whether tags are looked at.
        keep: whether sentences hold their lines, with whatever came before them since the last sentence.

    >>> text = "1\tDogs\tdog\tNOUN\t_\t_\t2\tnsubj\t_\t_\n2\tbark\tbark\tVERB\t_\t_\t0\troot\t_\t_\n\n"
    >>> [(s.tokens, s.tags) for s in read_conllu(text.splitlines(True), "a", (1, 3), Findings(), Findings())]
    [(['Dogs', 'bark'], ['NOUN', 'VERB'])]
    """
    before: list[str] = []
    for block in _blocks(lines):
        _note(block, name, notes)
        words = [index for index, line in enumerate(block.lines) if not line.startswith("#")]
        if not words:
            before += [*block.lines, ""] if block.lines or before else []
            continue
        sound = len(faults)
        ids = _Ids(block, name, faults, tag_is_last=tagged and columns[1] == len(CONLLU) - 1)
        rows = {index: cells for index in words if (cells := ids.word(index)) is not None}
        ids.check_end()
        if len(faults) == sound and rows:
            yield Sentence(
                [cells[columns[0]] for cells in rows.values()],
                [cells[columns[1]] for cells in rows.values()] if tagged else None,
                [*before, *block.lines] if keep else [],
                [len(before) + index for index in rows],
                f"{name} line {block.first + next(iter(rows))}",
            )
        before = []


def looks_like_conllu(line: str) -> bool:
    """Whether a line could begin a sentence of CoNLL-U: ten columns, the first a 1, a range from 1 or an empty node."""
    cells = line.split("\t")
    return len(cells) == len(CONLLU) and re.fullmatch(r"1(-[0-9]+)?|0\.1", cells[0]) is not None


def _blocks(lines: Iterable[str]) -> Iterator[Block]:
    block: list[str] = []
    number = 0
    raw = "\n"
    for number, raw in enumerate(lines, 1):
        line = raw.removesuffix("\n").removesuffix("\r")
        if line.strip():
            block.append(line)
        else:
            yield Block(block, number - len(block), raw, is_cut=False)
            block = []
    if block:
        yield Block(block, number - len(block) + 1, "", is_cut=not raw.endswith("\n"))


def _note(block: Block, name: str, notes: Findings) -> None:
    """What departs from the format and changes no word."""
    after = f"{name} line {block.first + len(block.lines)}"
    if not block.end:
        notes.add("no empty line behind the last sentence", f"{name} line {block.first + len(block.lines) - 1}")
    elif block.end.strip("\r\n"):
        notes.add("lines of blanks, read as empty", after)
    if block.end and not block.lines:
        notes.add("empty lines in excess, passed over", after)
    seen = False
    for number, line in enumerate(block.lines, block.first):
        if not line.startswith("#"):
            seen = True
        elif seen:
            notes.add("comments inside sentences, passed over", f"{name} line {number}")
        if not unicodedata.is_normalized("NFC", line):
            notes.add("lines not in the Unicode normal form NFC, read as they are", f"{name} line {number}")
    if block.lines and not seen:
        notes.add("comments without a sentence, passed over", f"{name} line {block.first}")


class _Ids:
    """The lines of one sentence: their columns, and their ids in turn.

    Of a file that ends in the middle of a line, that line may be cut: it is if it lacks columns, and taken for it if
    the tag is its last.
    """

    def __init__(self, block: Block, name: str, faults: Findings, *, tag_is_last: bool) -> None:
        self._block = block
        self._name = name
        self._faults = faults
        self._tag_is_last = tag_is_last
        self._place = ""
        self._word = 0  # the last one
        self._range = 0, 0  # the last one
        self._range_place = ""
        self._empty = 0  # empty nodes since the last word

    def word(self, index: int) -> list[str] | None:
        """The cells of a line, if it is that of a word; adds what is wrong with it."""
        line = self._block.lines[index]
        self._place = f"{self._name} line {self._block.first + index}"
        cells = line.split("\t")
        may_be_cut = self._block.is_cut and index == len(self._block.lines) - 1
        if may_be_cut and (len(cells) < len(CONLLU) or not cells[-1] or self._tag_is_last):
            self._faults.add("the file ends in the middle of a line, as if it were cut", f"{self._place}: {line!r}")
            return None
        if _SOUND.fullmatch(line) is None and not self._has_columns(line, cells):
            self._word = int(cells[0]) if _WORD.fullmatch(cells[0]) else self._word  # the next ones are not to blame
            return None
        if _WORD.fullmatch(cells[0]):
            self._take_word(int(cells[0]))
            return cells
        if match := _RANGE.fullmatch(cells[0]):
            self._take_range(int(match[1]), int(match[2]))
        elif match := _EMPTY_NODE.fullmatch(cells[0]):
            self._take_empty(int(match[1]), int(match[2]))
        else:
            self._faults.add("ids that are no number, range or empty node", f"{self._place}: {cells[0][:40]!r}")
        return None

    def check_end(self) -> None:
        """Adds what only the end of a sentence shows."""
        if self._range[1] > self._word:
            self._faults.add("multi-word ranges beyond the last word", self._range_place)

    def _has_columns(self, line: str, cells: list[str]) -> bool:
        faults, place = self._faults, self._place
        if "\r" in line:
            faults.add("carriage returns in the middle of a line", place)
        elif not line[0].isdigit():
            faults.add("lines that are neither word nor comment", f"{place}: {line[:40]!r}")
        elif len(cells) != len(CONLLU):
            faults.add("lines without ten columns divided by tabs", f"{place} with {len(cells)}")
        else:
            for column, cell in zip(CONLLU, cells, strict=True):
                if not cell:
                    faults.add(f"nothing in column {column}", place)
                elif column not in ("form", "lemma", "misc") and _BLANK.search(cell):
                    faults.add(f"blanks in column {column}", f"{place}: {cell[:40]!r}")
                elif re.fullmatch(_WITH_BLANKS, cell) is None:
                    faults.add(f"blanks at the ends or side by side in column {column}", f"{place}: {cell[:40]!r}")
            return True
        return False

    def _take_word(self, id_: int) -> None:
        if id_ != self._word + 1:
            again = "a word 1 inside a sentence, as where an empty line is missing before it"
            kind = again if id_ == 1 else "ids that do not go on from the word before"
            self._faults.add(kind, f"{self._place}: {id_}, not {self._word + 1}")
        self._word, self._empty = id_, 0

    def _take_range(self, first: int, last: int) -> None:
        shown = f"{self._place}: {first}-{last}"
        if last < first:
            self._faults.add("multi-word ranges that end before they begin", shown)
        elif first <= self._range[1]:
            self._faults.add("multi-word ranges that overlap", shown)
        elif first != self._word + 1:
            self._faults.add("multi-word ranges that do not stand before their first word", shown)
        self._range, self._range_place, self._empty = (first, last), shown, 0

    def _take_empty(self, word: int, number: int) -> None:
        self._empty += 1
        shown = f"{self._place}: {word}.{number}"
        if (word, number) != (self._word, self._empty):
            self._faults.add("empty nodes out of their place", f"{shown}, not {self._word}.{self._empty}")
        elif self._range[0] > self._word:
            self._faults.add("empty nodes inside a multi-word range, not before it", shown)
