"""Files of sentences, in whatever format they have."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from rnnkit.data.sources import Paths, read
from rnnkit.data.tagging.columns import Columns, numbered, read_columns
from rnnkit.data.tagging.json_lines import read_json_lines
from rnnkit.data.tagging.sentence import Sentence
from rnnkit.errors import UserError

FORMATS = ("conllu", "columns", "jsonl")
_FORMAT_OF = {".conllu": "conllu", ".jsonl": "jsonl", ".json": "jsonl"}


class Files:
    """Reads sentences: CoNLL-U, columns or JSON lines.

    `usual` is the format of what training read; that of a new file of another name, and of standard input.

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
        self._newest = "columns"

    def read(self, paths: Paths, argument: str, *, known: bool) -> list[Sentence]:
        """The sentences of files, with tags.

        `known` says that the usual format is learnt already and is that of files whose names tell none.

        Raises UserError, naming `argument`, for files that cannot be read or hold none, and with the line for one that
        is wrong.
        """
        found: list[Sentence] = []
        for document in read(paths, argument=argument):
            format_ = self._format(document.name, self.usual if known else "columns")
            if not known:
                self.usual = format_
            found.extend(self._sentences(document.name, document.text.split("\n"), format_, tagged=True, keep=False))
        if not found:
            raise UserError(argument, "sentences", f"none in {paths}", fix=f"{argument}=a file with sentences")
        return found

    def inputs(self, path: Path | None) -> Iterator[Sentence]:
        """Sentences to be tagged, with the lines they stood in; None reads standard input as it comes."""
        if path is None:
            self._newest = self.format or self.usual
            yield from self._sentences("standard input", _typed(), self._newest, tagged=False, keep=True)
            return
        for document in read(path, argument="--input"):
            self._newest = self._format(document.name, self.usual)
            yield from self._sentences(document.name, document.text.split("\n"), self._newest, tagged=False, keep=True)

    def of_input(self) -> tuple[str, int]:
        """The format and the column of the tag of what `inputs` reads at the moment."""
        return self._newest, self._columns(self._newest).tag

    def _format(self, name: str, otherwise: str) -> str:
        path = Path(Path(name).stem) if name.endswith((".gz", ".xz")) else Path(name)
        return self.format or _FORMAT_OF.get(path.suffix, otherwise)

    def _sentences(
        self, name: str, lines: Iterable[str], format_: str, *, tagged: bool, keep: bool
    ) -> Iterator[Sentence]:
        if format_ == "jsonl":
            return read_json_lines(lines, name, tagged=tagged)
        return read_columns(lines, name, format_, self._columns(format_), tagged=tagged, keep=keep)

    def _columns(self, format_: str) -> Columns:
        usual = {"token": "form", "tag": "upos"} if format_ == "conllu" else {"token": 0, "tag": -1}
        chosen = {what: usual[what] if column is None else column for what, column in self.chosen.items()}
        return Columns(*(numbered(chosen[what], format_, f"data.{what}_column") for what in ("token", "tag")))


def _typed() -> Iterator[str]:
    try:
        yield from sys.stdin
    except UnicodeDecodeError as error:
        fix = "iconv -f LATIN1 -t UTF-8 before it"
        raise UserError("--input", "UTF-8 text", f"standard input ({error})", fix=fix) from error
