"""Tokenizers at four levels: characters, bytes, words and subwords."""

import json
from pathlib import Path

from rnnkit.data.tokenizers.byte import ByteTokenizer
from rnnkit.data.tokenizers.char import CharTokenizer
from rnnkit.data.tokenizers.subword import SubwordTokenizer
from rnnkit.data.tokenizers.tokenizer import FORMAT, Tokenizer
from rnnkit.data.tokenizers.word import WordTokenizer
from rnnkit.errors import UserError

__all__ = [
    "LEVELS",
    "ByteTokenizer",
    "CharTokenizer",
    "SubwordTokenizer",
    "Tokenizer",
    "WordTokenizer",
    "load_tokenizer",
]

LEVELS: dict[str, type[Tokenizer]] = {
    "char": CharTokenizer,
    "byte": ByteTokenizer,
    "word": WordTokenizer,
    "subword": SubwordTokenizer,
}
"""The values of `data.level`."""


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Load a tokenizer that `Tokenizer.save` wrote.

    Raises:
        UserError: the file is missing or damaged, or is not a vocabulary.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     CharTokenizer.train(["abc"]).save(f"{folder}/vocabulary.json")
    ...     load_tokenizer(f"{folder}/vocabulary.json").tokens
    ('a', 'b', 'c', '<unk>')
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _not_a_vocabulary(path, str(error)) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _not_a_vocabulary(path, "a file of another kind")
    level = content.get("level")
    if level not in tuple(LEVELS):
        raise _not_a_vocabulary(path, f"level {level!r}")
    try:
        return LEVELS[level].of(content)
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise _not_a_vocabulary(path, str(error)) from error


def _not_a_vocabulary(path: str | Path, got: str) -> UserError:
    return UserError(
        f"vocabulary {path}",
        "a vocabulary.json written by rnnkit",
        got,
        fix="the original vocabulary.json of the run; without it, train again",
    )
