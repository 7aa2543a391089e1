"""Sentences in columns, as in the shared tasks of CoNLL: one token per line, and an empty line after each sentence."""

from collections.abc import Iterable, Iterator
from io import StringIO
from typing import NamedTuple

from rnnkit.data.io.findings import Findings
from rnnkit.data.tagging.conllu import CONLLU
from rnnkit.data.tagging.sentence import Sentence
from rnnkit.errors import UserError


class Columns(NamedTuple):
    """The columns of the token and the tag, numbered from 0. Negative numbers count from the end.

    `width` is the number of columns and `divider` is the separator; both are None if unknown from training.
    """

    token: int
    tag: int
    width: int | None = None
    divider: str | None = None

    def counted(self, width: int, divider: str) -> "Columns":
        """The same columns numbered from 0, for lines with `width` columns."""
        token, tag = (column + width if column < 0 else column for column in (self.token, self.tag))
        return Columns(token, tag, width, divider)


def numbered(column: str | int, format_: str, argument: str) -> int:
    """The number of a column that was given by name or number.

    Raises:
        UserError: the format has no such column.

    >>> numbered("upos", "conllu", "data.tag_column"), numbered(-1, "columns", "data.tag_column")
    (3, -1)
    """
    if isinstance(column, int):
        if format_ != "conllu":
            return column
        if -len(CONLLU) <= column < len(CONLLU):
            return column % len(CONLLU)
        raise UserError(argument, "a column from 0 to 9", str(column), fix=f"{argument}=upos")
    if format_ != "conllu":
        raise UserError(
            argument,
            "the number of a column, 0 for the first and -1 for the last; only CoNLL-U has column names",
            repr(column),
            fix=f"{argument}=-1",
        )
    name = column.lower()
    if name not in CONLLU:
        raise UserError(argument, f"one of {', '.join(CONLLU)}, or a number", repr(column), fix=f"{argument}=upos")
    return CONLLU.index(name)


def read_columns(
    lines: Iterable[str],
    name: str,
    columns: Columns,
    faults: Findings,
    *,
    tagged: bool = True,
    keep: bool = False,
) -> Iterator[Sentence]:
    r"""Yield the sentences of a file, each after its empty line has arrived.

    Columns are separated by the divider of `columns`, else by tabs if the line of the first token has one, else by
    spaces. A line of spaces is empty. A -DOCSTART- line is not a token. With tags, every line has `width` columns, or
    as many as the first line if that is None. Without tags, a line has the columns of training, or all but a tag at the
    end, or only the token.

    Args:
        lines: the lines with their newlines.
        name: the name of the file, for error messages.
        columns: see `Columns`.
        faults: collects errors by kind with their lines. A sentence with an error is not yielded.
        tagged: whether to read tags.
        keep: whether sentences keep their lines, including all lines since the last sentence.

    >>> text = "-DOCSTART- O\n\nEU B-ORG\nrejects O\n"
    >>> [(s.tokens, s.tags) for s in read_columns(text.splitlines(True), "a.conll", Columns(0, -1), Findings())]
    [(['EU', 'rejects'], ['B-ORG', 'O'])]
    """
    reader = _Reader(name, columns, faults, tagged=tagged)
    sentence, sound = Sentence([], [] if tagged else None), len(faults)
    for number, raw in enumerate(lines, 1):
        line = raw.removesuffix("\n").removesuffix("\r")
        if line.strip():
            if not line.startswith("-DOCSTART-"):
                if not sentence.tokens:
                    sentence.place = f"{name} line {number}"
                sentence.places.append(len(sentence.lines))
                token, tag = reader.cells(line, number)
                sentence.tokens.append(token)
                if sentence.tags is not None:
                    sentence.tags.append(tag)
            if keep:
                sentence.lines.append(line)
        elif sentence.tokens:
            if len(faults) == sound:
                yield sentence
            sentence, sound = Sentence([], [] if tagged else None), len(faults)
        elif keep and sentence.lines:
            sentence.lines.append("")
    if sentence.tokens and len(faults) == sound:
        yield sentence


def with_tags(sentence: Sentence, tags: list[str], columns: Columns | None) -> list[str]:
    """The lines of a sentence with tags in the tag column, or in a new last column if a line does not have it.

    Args:
        sentence: a sentence with its lines.
        tags: the tags to write.
        columns: the columns of training; None if unknown.
    """
    lines = list(sentence.lines)
    own = columns.divider if columns is not None else None
    for place, tag in zip(sentence.places, tags, strict=True):
        divider = own if own not in (None, " ", "\t") else "\t" if "\t" in lines[place] else " "
        fields = split_columns(lines[place], divider)
        if columns is not None and columns.width == len(fields):
            fields[columns.tag] = tag
        elif columns is not None and columns.width == 2:  # only the token
            fields.insert(columns.tag, tag)
        else:
            fields.append(tag)
        lines[place] = divider.join(fields)
    return lines


def split_columns(line: str, divider: str) -> list[str]:
    """The cells of a line."""
    cells = line.split(divider)
    # only at spaces: tokens may contain other whitespace
    return [cell for cell in cells if cell] if divider == " " else cells


def first_line(text: str) -> str:
    """The first line with a token, or "". A line that starts with # counts only if all lines do."""
    found = ""
    for raw in StringIO(text):
        line = raw.rstrip("\r\n")
        if line.strip() and not line.startswith("-DOCSTART-"):
            if not line.startswith("#"):
                return line
            found = found or line
    return found


class _Reader:
    """A reader for the lines of one file. The first line determines the separator and the number of columns."""

    def __init__(self, name: str, columns: Columns, faults: Findings, *, tagged: bool) -> None:
        self._name = name
        self._columns = columns
        self._faults = faults
        self._tagged = tagged
        is_given = columns.divider not in (None, " ") and (not tagged or columns.divider != "\t")
        self._divider = columns.divider if is_given and columns.divider else ""

    def cells(self, line: str, number: int) -> tuple[str, str]:
        """The token and the tag of a line. Errors are added to the faults."""
        place = f"{self._name} line {number}: {line[:60]!r}"
        self._divider = self._divider or ("\t" if "\t" in line else " ")
        fields = split_columns(line, self._divider)
        if "\r" in line:
            self._faults.add("carriage returns in the middle of a line", place)
        elif self._divider == "\t" and "\t" not in line and " " in line.strip(" "):
            self._faults.add("columns not separated by tabs, as in the first line or in training", place)
        elif self._divider == " " and "\t" in line:
            self._faults.add("columns not separated by spaces, as in the first line", place)
        elif self._tagged:
            return self._tagged_cells(fields, place)
        else:
            return self._token(fields, place), ""
        return "", ""

    def _tagged_cells(self, fields: list[str], place: str) -> tuple[str, str]:
        if self._columns.width is None:
            self._columns = self._columns.counted(len(fields), self._divider)
        token, tag, width, _ = self._columns
        if len(fields) != width:
            is_remark = len(fields) > 1 and fields[0] == "#"
            kind = "lines that start with # and have" if is_remark else "lines with"
            self._faults.add(f"{kind} {len(fields)} columns, not {width}", place)
            return "", ""
        if width == 1:
            self._faults.add("lines with only one column and therefore without a tag", place)
        cells = [fields[column] if 0 <= column < len(fields) else "" for column in (token, tag)]
        if not cells[0]:
            self._faults.add(f"no token in column {token}", place)
        elif width != 1 and (not cells[1] or token == tag):
            self._faults.add(f"no tag in column {tag}", place)
        return cells[0], cells[1]

    def _token(self, fields: list[str], place: str) -> str:
        """The token of a line with the columns of training, or all but a tag at the end, or only a token."""
        token, tag, width, _ = self._columns
        without_tag = None if width is None or tag < width - 1 else width - 1
        if len(fields) == 1:
            cell = fields[0]
        elif width is None:
            cell = fields[token] if -len(fields) <= token < len(fields) else ""
        elif len(fields) in (width, without_tag):
            cell = fields[token]
        else:
            self._faults.add(f"lines with {len(fields)} columns, not the {width} of training", place)
            return ""
        if not cell:
            self._faults.add(f"no token in column {token}", place)
        return cell
