"""Files of sentences, in whatever format they have."""

import shlex
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from rnnkit.data.io.findings import Findings
from rnnkit.data.io.sources import Document, Paths, read
from rnnkit.data.io.standard_input import arriving
from rnnkit.data.tagging.columns import Columns, first_line, numbered, read_columns, split_columns
from rnnkit.data.tagging.conllu import CONLLU, looks_like_conllu, read_conllu
from rnnkit.data.tagging.json_lines import read_json_lines
from rnnkit.data.tagging.sentence import Sentence
from rnnkit.errors import UserError

FORMATS = ("conllu", "columns", "jsonl")
_FORMAT_OF = {".conllu": "conllu", ".jsonl": "jsonl", ".json": "jsonl"}
_EXPECTED = {
    "conllu": "CoNLL-U (universaldependencies.org/format)",
    "columns": "a token and its tag on every line, in columns that are the same all along",
    "jsonl": 'JSON lines {"tokens": [...], "tags": [...]}',
}
_EXAMPLE = "my_sentences.conllu"
_OTHER_FORMAT = ("lines without ten columns divided by tabs", "lines that are neither word nor comment")
_TO_CONLLU = r"""awk 'NF {print ++n "\t" $1 "\t_\t_\t_\t_\t_\t_\t_\t_"; next} {n = 0; print ""}'"""


class Files:
    """Reads sentences: CoNLL-U, columns or JSON lines.

    `usual` is the format of what training read; that of a new file of another name, and of standard input. `columns`
    are those that the first file in columns had in training.

    Args:
        format: that of all files; None goes by their names.
        token_column, tag_column: by name in CoNLL-U (form and upos by default), else by number (0 and -1).

    Raises UserError for an unknown format.
    """

    def __init__(self, format: str | None, token_column: str | int | None, tag_column: str | int | None) -> None:
        if format is not None and format not in FORMATS:
            expected = f"null or one of {', '.join(FORMATS)}"
            raise UserError("data.format", expected, repr(format), fix="data.format=columns")
        self.format = format
        self.chosen = {"token": token_column, "tag": tag_column}
        self.usual = "columns"
        self.columns: Columns | None = None
        self._newest = "columns"

    def learned(self) -> dict[str, Any]:
        """What training told of the files, as plain JSON values."""
        return {"format": self.usual, "columns": self.columns}

    def restore(self, learned: dict[str, Any]) -> None:
        """Takes back what `learned` gave."""
        self.usual = learned["format"]
        self.columns = None if learned["columns"] is None else Columns(*learned["columns"])

    def read(self, paths: Paths, argument: str, *, known: bool) -> list[Sentence]:
        """The sentences of files, with tags; what is passed over or assumed is printed.

        `known` says that the usual format is learned already and is that of files whose names tell none.

        Raises UserError, naming `argument`, for files that cannot be read or hold none, and for those with a fault,
        with every kind of fault and its first lines.
        """
        found: list[Sentence] = []
        notes = Findings()
        documents = read(paths, argument=argument, example=_EXAMPLE)
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
            _look_at_end(document, format_, sentences, faults, notes)
            self._refuse(faults, argument, format_, _typed_path(paths, document.name))
            found.extend(sentences)
        empty = [sentence for sentence in found if not sentence.tokens]
        for sentence in empty:
            notes.add("sentences without a token, left out", sentence.place)
        notes.print()
        if len(found) == len(empty):
            raise UserError(argument, "sentences", f"none in {paths}", fix=f"{argument}={_EXAMPLE}")
        return [sentence for sentence in found if sentence.tokens] if empty else found

    def inputs(self, path: Path | None) -> Iterator[Sentence]:
        """Sentences to be tagged, with the lines they stood in; None reads standard input as it comes.

        Raises UserError for what is wrong: of a file before its first sentence, of standard input where it comes.
        """
        faults, notes = Findings(), Findings()
        if path is None:
            self._newest = self.format or self.usual
            name = "standard input"
            for sentence in self._sentences(name, arriving(), self._newest, faults, notes, tagged=False):
                self._refuse(faults, "--input", self._newest, None)
                yield sentence
            self._refuse(faults, "--input", self._newest, None)
            notes.print()
            return
        for document in read(path, argument="--input", example=_EXAMPLE):
            self._newest = self._format(document.name, self.usual)
            lines = StringIO(document.text)
            sentences = list(self._sentences(document.name, lines, self._newest, faults, notes, tagged=False))
            self._refuse(faults, "--input", self._newest, _typed_path(path, document.name))
            notes.print()
            yield from sentences

    def of_input(self) -> tuple[str, Columns | None]:
        """The format of what `inputs` reads at the moment, and its columns as training has counted them."""
        return self._newest, self._columns_of(self._newest) if self._newest == "conllu" else self.columns

    def another_tag(self) -> str:
        """What to type to have the tags of another column."""
        if self.usual == "conllu":
            return f"data.tag_column={'xpos' if self._columns_of('conllu').tag == CONLLU.index('upos') else 'upos'}"
        if self.columns is not None:
            others = sorted(set(range(self.columns.width or 0)) - {self.columns.token, self.columns.tag})
            if others:
                return f"data.tag_column={others[-1]}"
        return f"data.path={_EXAMPLE} with tags"

    def tag_in_conllu(self) -> int:
        """The column that CoNLL-U has for the predicted tags, if the input is of another format."""
        return self._columns_of("conllu").tag if self.usual == "conllu" else CONLLU.index("upos")

    def _format(self, name: str, otherwise: str) -> str:
        path = Path(Path(name).stem) if name.endswith((".gz", ".xz")) else Path(name)
        return self.format or _FORMAT_OF.get(path.suffix, otherwise)

    def _sentences(
        self, name: str, lines: Iterable[str], format_: str, faults: Findings, notes: Findings, *, tagged: bool
    ) -> Iterator[Sentence]:
        if format_ == "jsonl":
            return read_json_lines(lines, name, faults, tagged=tagged)
        columns = self._columns_of(format_)
        if format_ == "conllu":
            return read_conllu(lines, name, (columns.token, columns.tag), faults, notes, tagged=tagged, keep=not tagged)
        return read_columns(lines, name, self.columns or columns, faults, tagged=tagged, keep=not tagged)

    def _columns_of(self, format_: str) -> Columns:
        usual = {"token": "form", "tag": "upos"} if format_ == "conllu" else {"token": 0, "tag": -1}
        chosen = {what: usual[what] if column is None else column for what, column in self.chosen.items()}
        token, tag = (numbered(chosen[what], format_, f"data.{what}_column") for what in ("token", "tag"))
        return Columns(token, tag, *((len(CONLLU), "\t") if format_ == "conllu" else ()))

    def _check_names(self, names: list[str], paths: Paths, argument: str) -> None:
        """UserError where some names tell their format and others do not, as a README beside the data."""
        told = [name for name in names if self._format(name, "")]
        if told and len(told) < len(names):
            other = next(name for name in names if name not in told)
            suffix = Path(told[0]).suffix
            fix = f"'{argument}={paths}/*{suffix}', or data.format={self._format(told[0], '')}"
            raise UserError(argument, f"files that all end in {suffix}", f"'{other}' beside '{told[0]}'", fix=fix)

    def _count_columns(self, document: Document, argument: str) -> None:
        """Takes the columns of training from the first line with a token, unless they are known."""
        line = first_line(document.text)
        if line and self.format is None and looks_like_conllu(line):
            got = f"{document.name}, which looks like CoNLL-U: {line[:60]!r}"
            raise UserError(argument, "columns", got, fix="data.format=conllu, or data.format=columns if it is none")
        if line and self.columns is None:
            divider = "\t" if "\t" in line else " "
            self.columns = self._columns_of("columns").counted(len(split_columns(line, divider)), divider)

    def _refuse(self, faults: Findings, argument: str, format_: str, path: str | None) -> None:
        if len(faults):
            faults.refuse(argument, _EXPECTED[format_], fix=self._repair(list(faults), argument, format_, path))

    def _repair(self, kinds: list[str], argument: str, format_: str, path: str | None) -> str:
        """A command that mends the file where there is one."""
        into = "before it" if path is None else f"{path} > new.{format_ if format_ == 'conllu' else 'txt'}"
        if all(kind.startswith("carriage returns") for kind in kinds):
            return f"tr '\\r' '\\n' {into}" if path is None else f"tr '\\r' '\\n' < {into}"
        if all(kind.startswith("lines that begin with #") for kind in kinds):
            return f"grep -v '^#[[:space:]]' {into}"
        if all(kind.endswith("of training") for kind in kinds) and self.columns is not None:
            column = self.columns.token + 1
            cut = f"cut -f{column}" if self.columns.divider == "\t" else f"awk '{{print ${column}}}'"
            return f"{cut} {into}, which leaves the tokens alone"
        if argument == "--input" and format_ == "conllu" and path and all(kind in _OTHER_FORMAT for kind in kinds):
            return f"{_TO_CONLLU} {path} > new.conllu if it has a token a line"
        return "repairing these lines"


def _look_at_end(
    document: Document, format_: str, sentences: list[Sentence], faults: Findings, notes: Findings
) -> None:
    """A last line without a newline may be cut: its tag must be one that the file has elsewhere."""
    if format_ != "columns" or document.text.endswith("\n") or not sentences:
        return
    *others, last = (tag for sentence in sentences for tag in sentence.tags or ())
    line = f"{document.name} line {document.text.count(chr(10)) + 1}: {document.text.rsplit(chr(10), 1)[-1]!r}"
    if last in others:
        notes.add("no newline at the end, read as whole", line)
    else:
        faults.add("the file ends in the middle of a line with a tag that it has nowhere else, as if it were cut", line)


def _typed_path(paths: Paths, name: str) -> str:
    """A file as it is typed in a shell."""
    named = Path(paths) if isinstance(paths, str | Path) else Path(name)
    return shlex.quote(str(named / name if named.is_dir() else named))
