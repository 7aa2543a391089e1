"""Sentences in columns: CoNLL-U, and the columns of the CoNLL shared tasks."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from rnnkit.data.tagging.sentence import Sentence
from rnnkit.errors import UserError

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""The columns of CoNLL-U by name (universaldependencies.org/format)."""

_WORD_ID = re.compile(r"[0-9]+")
_NO_WORD_ID = re.compile(r"[0-9]+[-.][0-9]+")  # 3-4, a multi-word token; 8.1, an empty node


class Columns(NamedTuple):
    """Which columns, counted from 0, hold the token and the tag; negative numbers count from the end."""

    token: int
    tag: int


def numbered(column: str | int, format_: str, argument: str) -> int:
    """The number of a column that was given by name or number; UserError where the format has no such column.

    >>> numbered("upos", "conllu", "data.tag_column"), numbered(-1, "columns", "data.tag_column")
    (3, -1)
    """
    if isinstance(column, int):
        if format_ != "conllu" or -len(CONLLU) <= column < len(CONLLU):
            return column
        raise UserError(argument, "a column from 0 to 9", str(column), fix=f"{argument}=upos")
    if format_ != "conllu":
        raise UserError(
            argument,
            "the number of a column, 0 for the first and -1 for the last, since columns have names in CoNLL-U only",
            repr(column),
            fix=f"{argument}=-1",
        )
    name = column.lower()
    if name not in CONLLU:
        raise UserError(argument, f"one of {', '.join(CONLLU)}, or a number", repr(column), fix=f"{argument}=upos")
    return CONLLU.index(name)


def read_columns(
    lines: Iterable[str], name: str, format_: str, columns: Columns, *, tagged: bool = True, keep: bool = False
) -> Iterator[Sentence]:
    r"""The sentences of a file, each as soon as the blank line behind it has come.

    A line that holds blanks only is blank. In columns (`format_` "columns") a tab divides where a line has one, else
    blanks do, and a -DOCSTART- line is no token. In "conllu" lines that begin with # are comments; multi-word
    tokens and empty nodes are no tokens. With `keep` sentences hold their lines, with whatever came before them since
    the last sentence, so that the file can be written back. Unless `tagged`, tags are not looked at.

    Raises UserError, naming `name` and the line, for a line without the columns that are needed.

    >>> text = "-DOCSTART- O\n\nEU B-ORG\nrejects O\n"
    >>> [(s.tokens, s.tags) for s in read_columns(text.split("\n"), "a.conll", "columns", Columns(0, -1))]
    [(['EU', 'rejects'], ['B-ORG', 'O'])]
    """
    sentence = Sentence([], [])
    for number, raw in enumerate(chain(lines, [""]), 1):  # the last sentence may lack its blank line
        line = raw.rstrip("\r\n")
        if not line.strip():
            if sentence.tokens:
                if not tagged:
                    sentence.tags = None
                yield sentence
                sentence = Sentence([], [])
            elif keep and sentence.lines:
                sentence.lines.append("")
            continue
        fields = split_columns(line, format_)
        if is_token(line, fields, format_, name, number):
            token, tag = _cells(fields, line, format_, name, number, columns, tagged)
            sentence.places.append(len(sentence.lines))
            sentence.tokens.append(token)
            assert sentence.tags is not None
            sentence.tags.append(tag)
        if keep:
            sentence.lines.append(line)


def with_tags(sentence: Sentence, tags: list[str], format_: str, column: int) -> list[str]:
    """The lines of a sentence with these tags in a column, a new last one where a line of columns ends before it."""
    lines = list(sentence.lines)
    for place, tag in zip(sentence.places, tags, strict=True):
        divider = "\t" if format_ == "conllu" or "\t" in lines[place] else " "
        fields = split_columns(lines[place], format_)
        if column >= len(fields) or len(fields) == 1:
            fields.append(tag)
        else:
            fields[column] = tag
        lines[place] = divider.join(fields)
    return lines


def split_columns(line: str, format_: str) -> list[str]:
    """The cells of a line."""
    if format_ == "conllu" or "\t" in line:
        return line.split("\t")
    return [cell for cell in line.split(" ") if cell]  # not at other blanks: tokens may hold them


def is_token(line: str, fields: list[str], format_: str, name: str, number: int) -> bool:
    """Whether a line is that of a token; UserError for one of CoNLL-U whose number is none."""
    if format_ != "conllu":
        return fields[0] != "-DOCSTART-"
    if line.startswith("#") or _NO_WORD_ID.fullmatch(fields[0]):
        return False
    if _WORD_ID.fullmatch(fields[0]):
        return True
    got = f"{fields[0][:40]!r} in {name}, line {number}"
    raise UserError("data", "the number of a token at the beginning of a CoNLL-U line", got, fix="data.format=columns")


def _cells(
    fields: list[str], line: str, format_: str, name: str, number: int, columns: Columns, tagged: bool
) -> tuple[str, str]:
    needed = [("token", columns.token), *([("tag", columns.tag)] if tagged else [])]
    cells = []
    for what, column in needed:
        cell = fields[column] if -len(fields) <= column < len(fields) else ""
        # a column that is counted from the end must not be that of the token
        if not cell or (what == "tag" and column % len(fields) == columns.token % len(fields)):
            raise UserError(
                f"data.{what}_column",
                f"a {what} in column {_shown(column, format_)} of every line",
                f"{name}, line {number}: {line[:60]!r}",
                fix=f"data.{what}_column=another column, or repairing the line",
            )
        cells.append(cell)
    return cells[0], cells[1] if tagged else ""


def _shown(column: int, format_: str) -> str:
    return f"{CONLLU[column]!r}" if format_ == "conllu" else str(column)
