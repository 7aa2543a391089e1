"""Sentences in CoNLL-U (universaldependencies.org/format), with the checks of level 1 of the UD validator."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rnnkit.data.io.findings import Findings
from rnnkit.data.tagging.sentence import Sentence

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""The names of the columns."""

_WORD = re.compile(r"[1-9][0-9]{0,8}")
_RANGE = re.compile(r"([1-9][0-9]{0,8})-([1-9][0-9]{0,8})")
_EMPTY_NODE = re.compile(r"([0-9]{1,9})\.([1-9][0-9]{0,8})")
_BLANK = re.compile(r"\s")
_WITH_BLANKS = r"\S+(?:[^\S\t\r]\S+)*"  # single spaces between words
_SOUND = re.compile(r"\t".join([r"\S+", _WITH_BLANKS, _WITH_BLANKS, *[r"\S+"] * 6, _WITH_BLANKS]))


class Block(NamedTuple):
    """The lines up to an empty line, with the number of the first line."""

    lines: list[str]
    first: int
    end: str  # the empty line at the end, or "" at the end of the file
    is_cut: bool  # whether the file ends without a newline


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
    r"""Yield the sentences of a file, each after its empty line has arrived.

    Multiword tokens (3-4) and empty nodes (8.1) are skipped.

    Args:
        lines: the lines with their newlines.
        name: the name of the file, for error messages.
        columns: the numbers of the columns of tokens and tags.
        faults: collects format errors by kind with their lines. A sentence with an error is not yielded.
        notes: collects deviations that do not affect words: extra or missing empty lines, empty lines with spaces,
            comments inside or after sentences, and lines that are not in the Unicode normal form NFC.
        tagged: whether to read tags.
        keep: whether sentences keep their lines, including all lines since the last sentence.

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
    """Whether a line may start a sentence of CoNLL-U: ten columns, the first a 1, a range from 1 or an empty node."""
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
    """Note deviations from the format that do not affect words."""
    after = f"{name} line {block.first + len(block.lines)}"
    if not block.end:
        notes.add("no empty line after the last sentence", f"{name} line {block.first + len(block.lines) - 1}")
    elif block.end.strip("\r\n"):
        notes.add("lines of spaces, read as empty", after)
    if block.end and not block.lines:
        notes.add("extra empty lines, skipped", after)
    seen = False
    for number, line in enumerate(block.lines, block.first):
        if not line.startswith("#"):
            seen = True
        elif seen:
            notes.add("comments inside sentences, skipped", f"{name} line {number}")
        if not unicodedata.is_normalized("NFC", line):
            notes.add("lines not in the Unicode normal form NFC, read unchanged", f"{name} line {number}")
    if block.lines and not seen:
        notes.add("comments without a sentence, skipped", f"{name} line {block.first}")


class _Ids:
    """A check of the columns and the ids of the lines of one sentence.

    If the file ends without a newline, its last line may be truncated. This is assumed if columns are missing, or if
    the tag is the last column.
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
        """The cells of a line, if it is the line of a word. Errors are added to the faults."""
        line = self._block.lines[index]
        self._place = f"{self._name} line {self._block.first + index}"
        cells = line.split("\t")
        may_be_cut = self._block.is_cut and index == len(self._block.lines) - 1
        if may_be_cut and (len(cells) < len(CONLLU) or not cells[-1] or self._tag_is_last):
            self._faults.add("the file ends in the middle of a line and may be truncated", f"{self._place}: {line!r}")
            return None
        if _SOUND.fullmatch(line) is None and not self._has_columns(line, cells):
            self._word = (
                int(cells[0]) if _WORD.fullmatch(cells[0]) else self._word
            )  # so that the next lines are not reported too
            return None
        if _WORD.fullmatch(cells[0]):
            self._take_word(int(cells[0]))
            return cells
        if match := _RANGE.fullmatch(cells[0]):
            self._take_range(int(match[1]), int(match[2]))
        elif match := _EMPTY_NODE.fullmatch(cells[0]):
            self._take_empty(int(match[1]), int(match[2]))
        else:
            self._faults.add("ids that are not a number, a range or an empty node", f"{self._place}: {cells[0][:40]!r}")
        return None

    def check_end(self) -> None:
        """Add the errors that are known only at the end of a sentence."""
        if self._range[1] > self._word:
            self._faults.add("multiword ranges beyond the last word", self._range_place)

    def _has_columns(self, line: str, cells: list[str]) -> bool:
        faults, place = self._faults, self._place
        if "\r" in line:
            faults.add("carriage returns in the middle of a line", place)
        elif not line[0].isdigit():
            faults.add("lines that are neither words nor comments", f"{place}: {line[:40]!r}")
        elif len(cells) != len(CONLLU):
            faults.add("lines without ten columns separated by tabs", f"{place} with {len(cells)}")
        else:
            for column, cell in zip(CONLLU, cells, strict=True):
                if not cell:
                    faults.add(f"empty cells in column {column}", place)
                elif column not in ("form", "lemma", "misc") and _BLANK.search(cell):
                    faults.add(f"whitespace in column {column}", f"{place}: {cell[:40]!r}")
                elif re.fullmatch(_WITH_BLANKS, cell) is None:
                    faults.add(
                        f"leading, trailing or repeated whitespace in column {column}", f"{place}: {cell[:40]!r}"
                    )
            return True
        return False

    def _take_word(self, id_: int) -> None:
        if id_ != self._word + 1:
            again = "a word 1 inside a sentence, possibly without an empty line before it"
            kind = again if id_ == 1 else "ids that do not follow the word before"
            self._faults.add(kind, f"{self._place}: {id_}, not {self._word + 1}")
        self._word, self._empty = id_, 0

    def _take_range(self, first: int, last: int) -> None:
        shown = f"{self._place}: {first}-{last}"
        if last < first:
            self._faults.add("multiword ranges that end before they start", shown)
        elif first <= self._range[1]:
            self._faults.add("multiword ranges that overlap", shown)
        elif first != self._word + 1:
            self._faults.add("multiword ranges that are not before their first word", shown)
        self._range, self._range_place, self._empty = (first, last), shown, 0

    def _take_empty(self, word: int, number: int) -> None:
        self._empty += 1
        shown = f"{self._place}: {word}.{number}"
        if (word, number) != (self._word, self._empty):
            self._faults.add("empty nodes out of order", f"{shown}, not {self._word}.{self._empty}")
        elif self._range[0] > self._word:
            self._faults.add("empty nodes inside a multiword range, not before it", shown)
