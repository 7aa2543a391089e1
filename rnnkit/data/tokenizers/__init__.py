"""Text to ids and back, at three levels."""

import json
from pathlib import Path

from rnnkit.data.tokenizers.byte import ByteTokenizer
from rnnkit.data.tokenizers.char import CharTokenizer
from rnnkit.data.tokenizers.tokenizer import FORMAT, UNKNOWN, Tokenizer
from rnnkit.data.tokenizers.word import END_OF_LINE, WordTokenizer
from rnnkit.errors import UserError

__all__ = ["LEVELS", "ByteTokenizer", "CharTokenizer", "Tokenizer", "WordTokenizer", "load_tokenizer"]

LEVELS: dict[str, type[Tokenizer]] = {"char": CharTokenizer, "byte": ByteTokenizer, "word": WordTokenizer}
"""The values of `data.level`."""


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Read what `Tokenizer.save` wrote.

    Raises UserError when the file is missing, damaged or something else.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     CharTokenizer.build("abc").save(f"{folder}/vocabulary.json")
    ...     load_tokenizer(f"{folder}/vocabulary.json").tokens
    ('a', 'b', 'c', '<unk>')
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _not_a_vocabulary(path, str(error)) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _not_a_vocabulary(path, "a file of another kind")
    level, tokens = content.get("level"), content.get("tokens")
    if level not in tuple(LEVELS):
        raise _not_a_vocabulary(path, f"level {level!r}")
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise _not_a_vocabulary(path, "tokens that are no list of strings")
    if len(set(tokens)) < len(tokens):
        raise _not_a_vocabulary(path, "the same token twice")
    if fault := _fault(level, tokens):
        raise _not_a_vocabulary(path, fault)
    return LEVELS[level](tokens)


def _fault(level: str, tokens: list[str]) -> str | None:
    if level == "byte":
        return None if tuple(tokens) == ByteTokenizer().tokens else "tokens that are not the 256 bytes"
    if UNKNOWN not in tokens:
        return f"no token {UNKNOWN}"
    if level == "char" and any(len(token) != 1 for token in tokens if token != UNKNOWN):
        return "a token of more than one character"
    if level == "word" and END_OF_LINE not in tokens:
        return f"no token {END_OF_LINE}"
    return None


def _not_a_vocabulary(path: str | Path, got: str) -> UserError:
    return UserError(
        f"vocabulary {path}",
        "a vocabulary.json that rnnkit has written",
        got,
        fix="the vocabulary.json of the run's own folder; without it the run must be trained again",
    )
