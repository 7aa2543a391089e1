"""Output of predicted tags, in the format of the input or as a table."""

import csv
import json
from collections.abc import Callable
from typing import TextIO

from rnnkit.data.tagging.columns import Columns, with_tags
from rnnkit.data.tagging.conllu import CONLLU
from rnnkit.data.tagging.sentence import Sentence
from rnnkit.errors import UserError

WriteTags = Callable[[Sentence, list[str]], None]


def sentence_writer(
    sink: TextIO, format_: str, origin: Callable[[], tuple[str, Columns | None]], conllu_tag: int = CONLLU.index("upos")
) -> WriteTags:
    """A function that writes sentences with their tags to `sink`.

    The formats conllu and conll keep the lines of the input and replace the tag column. For sentences from another
    format, new lines are written. The format csv has one row per token, and jsonl one line per sentence.

    Args:
        sink: the file to write.
        format_: conllu, conll, csv or jsonl.
        origin: a function that returns the format of the input and the columns of training.
        conllu_tag: the column of the tag in CoNLL-U, for sentences from another format.

    Raises:
        UserError: the format is unknown, or a token with a tab or a newline is written in columns.
    """
    if format_ in ("conllu", "conll"):

        def write_columns(sentence: Sentence, tags: list[str]) -> None:
            source, columns = origin()
            if not sentence.tokens:
                return  # an empty sentence has no lines
            if sentence.lines and source == ("conllu" if format_ == "conllu" else "columns"):
                lines = with_tags(sentence, tags, columns)
            else:
                _check_tokens(sentence)
                pairs = zip(sentence.tokens, tags, strict=True)
                if format_ == "conll":
                    lines = [f"{token}\t{tag}" for token, tag in pairs]
                else:
                    lines = [_conllu(n, *pair, conllu_tag) for n, pair in enumerate(pairs, 1)]
            sink.write("\n".join(lines) + "\n\n")

        return write_columns
    if format_ == "jsonl":

        def write_json(sentence: Sentence, tags: list[str]) -> None:
            sink.write(json.dumps({"tokens": sentence.tokens, "tags": tags}, ensure_ascii=False) + "\n")

        return write_json
    if format_ == "csv":
        table = csv.writer(sink, lineterminator="\n")
        table.writerow(("sentence", "token", "tag"))
        count = 0

        def write_csv(sentence: Sentence, tags: list[str]) -> None:
            nonlocal count
            count += 1
            table.writerows((count, token, tag) for token, tag in zip(sentence.tokens, tags, strict=True))

        return write_csv
    expected = "conllu, conll, jsonl or csv"
    raise UserError("--format", expected, repr(format_), fix="--format jsonl, or --output predictions.conllu")


def _check_tokens(sentence: Sentence) -> None:
    for token in sentence.tokens:
        if any(end in token for end in "\t\n\r"):
            expected = "tokens without tabs and newlines, which would break the columns"
            raise UserError("--format", expected, f"{token!r} at {sentence.place}", fix="--format jsonl")


def _conllu(number: int, token: str, tag: str, column: int) -> str:
    cells = ["_"] * len(CONLLU)
    cells[CONLLU.index("id")], cells[CONLLU.index("form")], cells[column] = str(number), token, tag
    return "\t".join(cells)
