"""The data module for labeled texts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import torch

from rnnkit.data.io.sources import Paths, read
from rnnkit.data.io.standard_input import stdin_lines
from rnnkit.data.labeled.base import LabeledData
from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.tables import FORMATS, Column, format_of, read_rows
from rnnkit.data.tokenizers import LEVELS, Tokenizer
from rnnkit.errors import UserError
from rnnkit.notices import counted, notice
from rnnkit.ranges import PositiveInt, VocabularySize
from rnnkit.structure import check


class Learned(TypedDict):
    """The learned properties of the inputs, as in the file: a tokenizer, and the format of the files."""

    level: Literal[tuple(LEVELS)]  # type: ignore[valid-type]
    tokens: list[str]
    merges: NotRequired[list[tuple[str, str]]]
    format: Literal[tuple(FORMATS.values())]  # type: ignore[valid-type]


class TextLabelData(LabeledData):
    r"""A data module for labeled texts from CSV, TSV or JSON lines, compressed or not (`.gz`, `.xz`).

    Columns are given by name, or by number from 0. In JSON lines, they are keys.

    Args:
        text_column: the column of texts.
        target_column: the column of targets.
        group_column: the column of groups, such as persons or documents; see `LabeledData`.
        id_column: the column that identifies a text in predictions; None uses its index, from 0.
        header: whether the first row of CSV and TSV has the names of columns.
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
    ...     data = TextLabelData(path=f"{folder}/a.csv", test_fraction=0, batch_size=2)
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
        text_column: Column = "text",
        target_column: Column = "label",
        group_column: Column | None = None,
        id_column: Column | None = None,
        header: bool = True,
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
        self.columns = {"text": text_column, "target": target_column, "group": group_column, "id": id_column}
        self.header = header
        self.level = level
        self.min_count = min_count
        self.vocabulary_size = vocabulary_size
        self.max_length = max_length
        self._tokenizer: Tokenizer | None = None
        self._cut = 0
        self._format = "jsonl"

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
            self._format = format_of(name, argument)
            lines = StringIO(text)  # lines end only at newlines, not at other line ends of Unicode
            found = list(self._examples(lines, name, self._format, argument, targets=True, start=len(examples)))
            self._check_last_line(text, name, found, argument)
            examples += found
        return examples

    def read_inputs(self, path: Path | None) -> Iterator[Labeled]:
        if path is None:
            lines = stdin_lines(raw=self.level == "byte")
            first = next(lines, "")
            format_ = "jsonl" if first.lstrip().startswith("{") else self._format
            sources: list[tuple[Iterable[str], str, str]] = [(chain([first], lines), "standard input", format_)]
        else:
            documents = self._documents(path, "--input")
            sources = [(StringIO(text), name, format_of(name, "--input")) for name, text in documents]
        start = 0
        for rows, name, format_ in sources:
            for example in self._examples(rows, name, format_, "--input", targets=False, start=start):
                start += 1
                yield self.ready(example)
        self.notes.print()

    def is_empty(self, example: Labeled) -> bool:
        return not example.inputs.strip()

    def learn_inputs(self, train: Sequence[Labeled]) -> dict[str, Any]:
        texts = (example.inputs for example in train)
        kind = LEVELS[self.level]
        self._tokenizer = kind.train(texts, min_count=self.min_count, vocabulary_size=self.vocabulary_size)
        return {**self._tokenizer.content(), "format": self._format}

    def check_inputs(self, learned: dict[str, Any]) -> None:
        check(learned, Learned, "inputs")
        if learned["level"] != self.level:
            raise ValueError(f"inputs.level is {learned['level']}, but data.level={self.level}")

    def restore_inputs(self, learned: Mapping[str, Any]) -> None:
        self._tokenizer = LEVELS[learned["level"]].of(learned)
        self._format = learned["format"]

    def encode_inputs(self, example: Labeled) -> torch.Tensor:
        ids = self.tokenizer.encode(example.inputs)
        if self.max_length is not None and len(ids) > self.max_length:
            self._cut += 1
            ids = ids[: self.max_length].clone()  # frees the rest
        return ids

    def _documents(self, paths: Paths, argument: str) -> list[tuple[str, str]]:
        """The name and the text of each file. At level byte, any bytes are accepted."""
        raw = self.level == "byte"
        return [
            (name, text.removeprefix("\ufeff"))
            for name, text in read(paths, raw=raw, argument=argument, example="my_table.csv")
        ]

    def _examples(
        self, lines: Iterable[str], name: str, format_: str, argument: str, *, targets: bool, start: int
    ) -> Iterator[Labeled]:
        columns = {role: column for role, column in self.columns.items() if targets or role in ("text", "id")}
        rows = read_rows(
            lines,
            name,
            format_,
            columns,
            header=self.header,
            argument=argument,
            optional=() if targets else ("id",),
            notes=self.notes,
        )
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

    def _check_last_line(self, text: str, name: str, examples: Sequence[Labeled], argument: str) -> None:
        """Check a last line without a newline, which may be truncated: its label must occur elsewhere in the file."""
        if text.endswith("\n") or not examples or self._format == "jsonl":
            return
        *others, last = (str(example.target).strip() for example in examples)
        if self.target == "label" and text.endswith(last) and last not in others:
            got = f"{last!r} at {examples[-1].place}, which occurs nowhere else and does not end in a newline"
            fix = "the complete file, or a newline at its end if it is complete"
            raise UserError(argument, "a file that is not truncated", got, fix=fix)
        self.notes.add("no newline at the end, read as complete", examples[-1].place)
