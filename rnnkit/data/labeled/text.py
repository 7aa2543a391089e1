"""The data module for labeled texts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import torch

from rnnkit.data.io.sources import Paths, read
from rnnkit.data.io.standard_input import stdin_lines
from rnnkit.data.io.tables.dialect import Dialect, detect
from rnnkit.data.io.tables.format import TableFormat
from rnnkit.data.io.tables.positions import Column
from rnnkit.data.io.tables.source import ENCODING
from rnnkit.data.labeled.base import LabeledData
from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.text_rows import LABELS_FIRST, Roles, are_labels_first, text_rows
from rnnkit.data.tokenizers import LEVELS, Tokenizer
from rnnkit.errors import UserError
from rnnkit.nested import nested
from rnnkit.notices import counted, notice
from rnnkit.ranges import PositiveInt, VocabularySize
from rnnkit.structure import check


class LearnedTable(TypedDict):
    """The form of the training files."""

    delimiter: str
    quote: str
    header: bool


class Learned(TypedDict):
    """The learned properties of the inputs, as in the file: a tokenizer, and the format of the files."""

    level: Literal[tuple(LEVELS)]  # type: ignore[valid-type]
    tokens: list[str]
    merges: NotRequired[list[tuple[str, str]]]
    format: Literal["csv", "tsv", "jsonl"]
    table: NotRequired[LearnedTable]


class TextLabelData(LabeledData):
    r"""A data module for labeled texts from text tables or JSON lines, compressed or not (`.gz`, `.xz`, `.zip`).

    Columns are given by name, or by number from 0 or from -1 for the last. In JSON lines, they are keys. If the
    delimiter of a table is a blank, the text is the rest of the line.

    Args:
        table: the format of the files.
        text_column: the column of texts.
        target_column: the column of targets.
        group_column: the column of groups, such as persons or documents; see `LabeledData`.
        id_column: the column that identifies a text in predictions; None uses its index, from 0.
        level: the kind of token: char, word (separated by whitespace), subword or byte.
        min_count: characters or words with fewer occurrences in the training texts become `<unk>`.
        vocabulary_size: the number of most frequent tokens to keep; None keeps all, and trains 8,000 subwords.
        max_length: the largest number of tokens of a text. Longer texts are truncated, and their number is printed.
            None for no limit.
        others: see `LabeledData`.

    Raises:
        UserError: a row has too few columns, or no label or group. The message has the file and the line.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_text("text,label\n" + "good,yes\nbad,no\n" * 9)
    ...     data = TextLabelData(path=f"{folder}/a.csv", split={"test_fraction": 0}, batch_size=2)
    ...     data.setup()
    >>> data.model_kwargs
    {'vocabulary_size': 3, 'outputs': 2}
    >>> data.task_kwargs
    {'classes': ['no', 'yes'], 'counts': [8, 8]}
    >>> data.collate(data.splits["valid"])
    SequenceBatch(inputs=tensor([[0], [1]]), targets=tensor([0, 1]), lengths=None, target_lengths=None, reset=None,
        num_steps=None, extra=None)
    """

    def __init__(
        self,
        *,
        table: TableFormat | Mapping[str, Any] | None = None,
        text_column: Column = "text",
        target_column: Column = "label",
        group_column: Column | None = None,
        id_column: Column | None = None,
        level: Literal["word", "subword", "char", "byte"] = "word",
        min_count: PositiveInt = 1,
        vocabulary_size: VocabularySize | None = None,
        max_length: PositiveInt | None = None,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        if level not in LEVELS:
            raise UserError("data.level", f"one of {', '.join(LEVELS)}", repr(level), fix="data.level=word")
        for name, count, least in (
            ("min_count", min_count, 1),
            ("vocabulary_size", 2 if vocabulary_size is None else vocabulary_size, 2),
            ("max_length", 1 if max_length is None else max_length, 1),
        ):
            if not isinstance(count, int) or count < least:
                raise UserError(
                    f"data.{name}", f"a whole number, {least} or more", repr(count), fix=f"data.{name}={least}"
                )
        self.table = nested(TableFormat, table, "data.table")
        self.columns = Roles(text_column, target_column, group_column, id_column)
        self.level = level
        self.min_count = min_count
        self.vocabulary_size = vocabulary_size
        self.max_length = max_length
        self._tokenizer: Tokenizer | None = None
        self._cut = 0
        self._dialect: Dialect | None = None  # of the last file that was read; None for JSON lines

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer trained on the training split."""
        if self._tokenizer is None:
            raise RuntimeError("TextLabelData has no tokenizer before setup()")
        return self._tokenizer

    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {"vocabulary_size": len(self.tokenizer), "outputs": self.targets.outputs}

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        if self._cut:
            texts = counted(sum(map(len, self.splits.values())), "text")
            notice(f"{self._cut:,} of {texts} truncated to data.max_length={self.max_length}")
            self._cut = 0

    def read_files(self, part: str, paths: Paths, argument: str) -> list[Labeled]:
        examples: list[Labeled] = []
        for name, text in self._documents(paths, argument):
            dialect = self._dialect = self._detected(text, name, argument, self.columns)
            try:
                found = list(self._examples(StringIO(text), name, dialect, argument, self.columns, start=len(examples)))
            except UserError as error:
                if dialect is not None and are_labels_first(text[: 1 << 16].split("\n")[:-1]):
                    raise UserError(error.argument, error.expected, error.got, fix=LABELS_FIRST) from error
                raise
            self._check_last_line(text, found, argument)
            examples += found
        return examples

    def read_inputs(self, path: Path | None) -> Iterator[Labeled]:
        roles = Roles(self.columns.text, id=self.columns.id)
        if path is None:
            lines = stdin_lines(raw=self.level == "byte", encoding=self.table.encoding, key=ENCODING)
            first = next(lines, "")
            dialect = None if first.lstrip().startswith("{") else self._dialect
            sources: list[tuple[Iterable[str], str, Dialect | None]] = [
                (chain([first], lines), "standard input", dialect)
            ]
        else:
            sources = [
                (StringIO(text), name, self._detected(text, name, "--input", roles))
                for name, text in self._documents(path, "--input")
            ]
        start = 0
        for rows, name, dialect in sources:
            for example in self._examples(rows, name, dialect, "--input", roles, start=start, optional=("id",)):
                start += 1
                yield self.ready(example)
        self.notes.print()

    def is_empty(self, example: Labeled) -> bool:
        return not example.inputs.strip()

    def learn_inputs(self, train: Sequence[Labeled]) -> dict[str, Any]:
        texts = (example.inputs for example in train)
        kind = LEVELS[self.level]
        self._tokenizer = kind.train(texts, min_count=self.min_count, vocabulary_size=self.vocabulary_size)
        if self._dialect is None:
            return {**self._tokenizer.content(), "format": "jsonl"}
        delimiter, quote, _, _, header = self._dialect
        table = {"delimiter": delimiter, "quote": quote, "header": header}
        return {**self._tokenizer.content(), "format": "tsv" if delimiter == "\t" else "csv", "table": table}

    def check_inputs(self, learned: dict[str, Any]) -> None:
        check(learned, Learned, "inputs")
        if learned["level"] != self.level:
            raise ValueError(f"inputs.level is {learned['level']}, but data.level={self.level}")

    def restore_inputs(self, learned: Mapping[str, Any]) -> None:
        self._tokenizer = LEVELS[learned["level"]].of(learned)
        form = learned.get("table")
        self._dialect = None if form is None else Dialect(form["delimiter"], form["quote"], ".", "", form["header"])

    def upgraded(self, learned: dict[str, Any]) -> dict[str, Any]:
        inputs = learned["inputs"]
        if "table" in inputs or inputs["format"] == "jsonl":
            return learned
        is_tsv = inputs["format"] == "tsv"  # the first version did not store the form of tables
        header = self.table.header is not False
        form = LearnedTable(delimiter="\t" if is_tsv else ",", quote="" if is_tsv else '"', header=header)
        return {**learned, "inputs": {**inputs, "table": form}}

    def encode_inputs(self, example: Labeled) -> torch.Tensor:
        ids = self.tokenizer.encode(example.inputs)
        if self.max_length is not None and len(ids) > self.max_length:
            self._cut += 1
            ids = ids[: self.max_length].clone()  # frees the rest
        return ids

    def _documents(self, paths: Paths, argument: str) -> list[tuple[str, str]]:
        """The name and the text of each file. At level byte, any bytes are accepted."""
        raw = self.level == "byte"
        encoding = self.table.encoding
        documents = read(
            paths, raw=raw, argument=argument, example="my_table.csv", encoding=encoding, key=None if raw else ENCODING
        )
        return [(name, text.removeprefix("\ufeff")) for name, text in documents]

    def _detected(self, text: str, name: str, argument: str, roles: Roles) -> Dialect | None:
        """The form of a table; None for JSON lines."""
        format_ = self.table.of_file(name, argument)
        if format_ == "parquet":
            raise UserError(argument, "a text table or JSON lines", repr(name), fix=f"{argument}=my_table.csv")
        if format_ == "jsonl":
            return None
        dialect = detect(text, self.table, name, argument, named=roles.is_named)
        if dialect.described() and dialect != self._dialect and dialect.delimiter != "\t":
            notice(f"{name}: read with {dialect.described()}")
        return dialect

    def _examples(
        self,
        lines: Iterable[str],
        name: str,
        dialect: Dialect | None,
        argument: str,
        roles: Roles,
        *,
        start: int,
        optional: Sequence[str] = (),
    ) -> Iterator[Labeled]:
        rows = text_rows(lines, name, dialect, roles, argument, optional, self.notes)
        for index, (number, row) in enumerate(rows, start):
            place = f"{name} line {number}"
            text = "" if row["text"] is None else row["text"]
            if not isinstance(text, str):
                raise UserError(argument, "a text", f"{text!r} at {place}", fix="a text in every row")
            group = None if "group" not in row else str("" if row["group"] is None else row["group"]).strip()
            if group == "":
                fix = "a group in every row, or data.group_column=null"
                raise UserError("data.group_column", "a group for every text", f"none at {place}", fix=fix)
            yield Labeled(text, row.get("target"), row.get("id", index), place, group)

    def _check_last_line(self, text: str, examples: Sequence[Labeled], argument: str) -> None:
        """Check a last line without a newline, which may be truncated: its label must occur elsewhere in the file."""
        if text.endswith("\n") or not examples or self._dialect is None:
            return
        *others, last = (str(example.target).strip() for example in examples)
        if self.target == "label" and text.endswith(last) and last not in others:
            got = f"{last!r} at {examples[-1].place}, which occurs nowhere else and does not end in a newline"
            fix = "the complete file, or a newline at its end if it is complete"
            raise UserError(argument, "a file that is not truncated", got, fix=fix)
        self.notes.add("no newline at the end, read as complete", examples[-1].place)
