"""Files of sentences in all formats."""

import shlex
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from rnnkit.data.io.findings import Findings
from rnnkit.data.io.packed import PACKED
from rnnkit.data.io.sources import Document, Paths, read
from rnnkit.data.io.standard_input import stdin_lines
from rnnkit.data.io.tables.format import TableFormat
from rnnkit.data.io.tables.source import ENCODING
from rnnkit.data.tagging.columns import Columns, first_line, numbered, read_columns, split_columns
from rnnkit.data.tagging.conllu import CONLLU, looks_like_conllu, read_conllu
from rnnkit.data.tagging.json_lines import read_json_lines
from rnnkit.data.tagging.sentence import Sentence
from rnnkit.errors import UserError

FORMATS = ("conllu", "columns", "jsonl")
_FORMAT_OF = {".conllu": "conllu", ".jsonl": "jsonl", ".json": "jsonl"}
_EXPECTED = {
    "conllu": "CoNLL-U (universaldependencies.org/format)",
    "columns": "a token and its tag on every line, with the same number of columns",
    "jsonl": 'JSON lines {"tokens": [...], "tags": [...]}',
}
_EXAMPLE = "my_sentences.conllu"
_OTHER_FORMAT = ("lines without ten columns separated by tabs", "lines that are neither words nor comments")
_TO_CONLLU = r"""awk 'NF {print ++n "\t" $1 "\t_\t_\t_\t_\t_\t_\t_\t_"; next} {n = 0; print ""}'"""


class Files:
    """A reader of sentences in CoNLL-U, columns or JSON lines.

    Args:
        format: the format of all files; None uses the extension of a file.
        token_column: the column of tokens: a name in CoNLL-U (default: form), else a number from 0 (default: 0).
        tag_column: the column of tags: a name in CoNLL-U (default: upos), else a number (default: -1).
        table: the delimiter of columns and the encoding of all files.

    Attributes:
        usual: the format of the training files. It is used for standard input and for files with another extension.
        columns: the columns of the first training file in columns.

    Raises:
        UserError: the format is unknown.
    """

    def __init__(
        self, format: str | None, token_column: str | int | None, tag_column: str | int | None, table: TableFormat
    ) -> None:
        if format is not None and format not in FORMATS:
            expected = f"null or one of {', '.join(FORMATS)}"
            raise UserError("data.format", expected, repr(format), fix="data.format=columns")
        for name in ("format", "quote", "decimal", "thousands", "header", "missing"):
            if getattr(table, name) != getattr(TableFormat, name):
                key = f"data.table.{name}"
                got = repr(getattr(table, name))
                expected = "no value for tagged sentences, which use data.table.delimiter and data.table.encoding only"
                raise UserError(key, expected, got, fix=f"leaving out {key}, or data.format=columns")
        self.table = table
        self.format = format
        self.chosen = {"token": token_column, "tag": tag_column}
        self.usual = "columns"
        self.columns: Columns | None = None
        self._newest = "columns"

    def learned(self) -> dict[str, Any]:
        """The properties of the training files as JSON values."""
        return {"format": self.usual, "columns": self.columns}

    def restore(self, learned: dict[str, Any]) -> None:
        """Restore the results of `learned`."""
        self.usual = learned["format"]
        self.columns = None if learned["columns"] is None else Columns(*learned["columns"])

    def read(self, paths: Paths, argument: str, *, known: bool) -> list[Sentence]:
        """Read the tagged sentences of files. The numbers of skipped lines and of assumptions are printed.

        Args:
            paths: the files.
            argument: the argument that error messages name.
            known: whether to use the format of training for files without a known extension.

        Raises:
            UserError: a file cannot be read, has no sentences or has errors. The message has all kinds of errors with
                their first lines.
        """
        found: list[Sentence] = []
        notes = Findings()
        documents = self._documents(paths, argument)
        self._check_names([document.name for document in documents], paths, argument)
        for document in documents:
            format_ = self._format(document.name, self.usual if known else "columns")
            if not known:
                self.usual = format_
            if format_ == "columns":
                self._count_columns(document, argument)
            faults = Findings()
            sentences = list(
                self._sentences(document.name, StringIO(document.text), format_, faults, notes, tagged=True)
            )
            _check_last_line(document, format_, sentences, faults, notes)
            self._refuse(faults, argument, format_, _typed_path(paths, document.name))
            found.extend(sentences)
        empty = [sentence for sentence in found if not sentence.tokens]
        for sentence in empty:
            notes.add("sentences without a token, skipped", sentence.place)
        notes.print()
        if len(found) == len(empty):
            raise UserError(argument, "sentences", f"none in {paths}", fix=f"{argument}={_EXAMPLE}")
        return [sentence for sentence in found if sentence.tokens] if empty else found

    def inputs(self, path: Path | None) -> Iterator[Sentence]:
        """Yield the sentences to tag, with their lines.

        Args:
            path: a file; None reads standard input as it arrives.

        Raises:
            UserError: there is an error in the input. In a file, it is raised before the first sentence.
        """
        faults, notes = Findings(), Findings()
        if path is None:
            self._newest = self.format or self.usual
            name = "standard input"
            for sentence in self._sentences(
                name, stdin_lines(encoding=self.table.encoding, key=ENCODING), self._newest, faults, notes, tagged=False
            ):
                self._refuse(faults, "--input", self._newest, None)
                yield sentence
            self._refuse(faults, "--input", self._newest, None)
            notes.print()
            return
        for document in self._documents(path, "--input"):
            self._newest = self._format(document.name, self.usual)
            lines = StringIO(document.text)
            sentences = list(self._sentences(document.name, lines, self._newest, faults, notes, tagged=False))
            self._refuse(faults, "--input", self._newest, _typed_path(path, document.name))
            notes.print()
            yield from sentences

    def of_input(self) -> tuple[str, Columns | None]:
        """The format of the current input of `inputs`, and the columns of training."""
        return self._newest, self._columns_of(self._newest) if self._newest == "conllu" else self.columns

    def another_tag(self) -> str:
        """The argument that selects the tags of another column."""
        if self.usual == "conllu":
            return f"data.tag_column={'xpos' if self._columns_of('conllu').tag == CONLLU.index('upos') else 'upos'}"
        if self.columns is not None:
            others = sorted(set(range(self.columns.width or 0)) - {self.columns.token, self.columns.tag})
            if others:
                return f"data.tag_column={others[-1]}"
        return f"data.path={_EXAMPLE} with tags"

    def tag_in_conllu(self) -> int:
        """The column of predicted tags in CoNLL-U output, if the input has another format."""
        return self._columns_of("conllu").tag if self.usual == "conllu" else CONLLU.index("upos")

    def _documents(self, paths: Paths, argument: str) -> list[Document]:
        return read(paths, argument=argument, example=_EXAMPLE, encoding=self.table.encoding, key=ENCODING)

    def _format(self, name: str, otherwise: str) -> str:
        path = Path(Path(name).stem) if name.endswith(PACKED) else Path(name)
        return self.format or _FORMAT_OF.get(path.suffix, otherwise)

    def _sentences(
        self, name: str, lines: Iterable[str], format_: str, faults: Findings, notes: Findings, *, tagged: bool
    ) -> Iterator[Sentence]:
        if format_ == "jsonl":
            return read_json_lines(lines, name, faults, tagged=tagged)
        columns = self._columns_of(format_)
        if format_ == "columns" and columns.divider is None:
            columns = columns._replace(divider=self.table.delimiter)
        if format_ == "conllu":
            return read_conllu(lines, name, (columns.token, columns.tag), faults, notes, tagged=tagged, keep=not tagged)
        return read_columns(lines, name, self.columns or columns, faults, tagged=tagged, keep=not tagged)

    def _columns_of(self, format_: str) -> Columns:
        usual = {"token": "form", "tag": "upos"} if format_ == "conllu" else {"token": 0, "tag": -1}
        chosen = {what: usual[what] if column is None else column for what, column in self.chosen.items()}
        token, tag = (numbered(chosen[what], format_, f"data.{what}_column") for what in ("token", "tag"))
        return Columns(token, tag, *((len(CONLLU), "\t") if format_ == "conllu" else ()))

    def _check_names(self, names: list[str], paths: Paths, argument: str) -> None:
        """Raise UserError if only some files have a known extension, as with a README next to the data."""
        told = [name for name in names if self._format(name, "")]
        if told and len(told) < len(names):
            other = next(name for name in names if name not in told)
            suffix = Path(told[0]).suffix
            fix = f"'{argument}={paths}/*{suffix}', or data.format={self._format(told[0], '')}"
            raise UserError(argument, f"files that all end in {suffix}", f"'{other}' and '{told[0]}'", fix=fix)

    def _count_columns(self, document: Document, argument: str) -> None:
        """Determine the columns of training from the first line with a token, unless they are known."""
        line = first_line(document.text)
        if line and self.format is None and looks_like_conllu(line):
            got = f"{document.name}, which looks like CoNLL-U: {line[:60]!r}"
            raise UserError(
                argument, "columns", got, fix="data.format=conllu, or data.format=columns if it is not CoNLL-U"
            )
        if line and self.columns is None:
            divider = self.table.delimiter or ("\t" if "\t" in line else " ")
            self.columns = self._columns_of("columns").counted(len(split_columns(line, divider)), divider)

    def _refuse(self, faults: Findings, argument: str, format_: str, path: str | None) -> None:
        if len(faults):
            faults.refuse(argument, _EXPECTED[format_], fix=self._repair(list(faults), argument, format_, path))

    def _repair(self, kinds: list[str], argument: str, format_: str, path: str | None) -> str:
        """A command that repairs the file, if there is one."""
        into = "before it" if path is None else f"{path} > new.{format_ if format_ == 'conllu' else 'txt'}"
        if all(kind.startswith("carriage returns") for kind in kinds):
            return f"tr '\\r' '\\n' {into}" if path is None else f"tr '\\r' '\\n' < {into}"
        if all(kind.startswith("lines that start with #") for kind in kinds):
            return f"grep -v '^#[[:space:]]' {into}"
        if all(kind.endswith("of training") for kind in kinds) and self.columns is not None:
            column = self.columns.token + 1
            delimiter = self.columns.divider or " "
            cut = (
                f"cut -f{column}"
                if delimiter == "\t"
                else f"cut -d{shlex.quote(delimiter)} -f{column}"
                if delimiter != " "
                else f"awk '{{print ${column}}}'"
            )
            return f"{cut} {into}, which keeps only the tokens"
        if argument == "--input" and format_ == "conllu" and path and all(kind in _OTHER_FORMAT for kind in kinds):
            return f"{_TO_CONLLU} {path} > new.conllu if it has one token per line"
        return "repairing these lines"


def _check_last_line(
    document: Document, format_: str, sentences: list[Sentence], faults: Findings, notes: Findings
) -> None:
    """Check a last line without a newline, which may be truncated: its tag must occur elsewhere in the file."""
    if format_ != "columns" or document.text.endswith("\n") or not sentences:
        return
    *others, last = (tag for sentence in sentences for tag in sentence.tags or ())
    line = f"{document.name} line {document.text.count(chr(10)) + 1}: {document.text.rsplit(chr(10), 1)[-1]!r}"
    if last in others:
        notes.add("no newline at the end, read as complete", line)
    else:
        faults.add("the file may be truncated: it has no last newline, and its last tag occurs nowhere else", line)


def _typed_path(paths: Paths, name: str) -> str:
    """A path, quoted for a shell."""
    named = Path(paths) if isinstance(paths, str | Path) else Path(name)
    return shlex.quote(str(named / name if named.is_dir() else named))
