"""The protocol of a tokenizer: train on text, encode, decode, save."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor

from rnnkit.files import replacing

FORMAT = "rnnkit vocabulary 1"
UNKNOWN = "<unk>"
"""Stands for what the vocabulary lacks: the rare tokens of the training text and all that never occurred in it."""


class Tokenizer(ABC):
    """A vocabulary and the way to cut text into it.

    * `level`: what a token is: "char", "byte", "word" or "subword".
    * `tokens`: the printable text of every id; ids run from 0 to `len(tokenizer) - 1`.
    * `unknown`: the id of `<unk>`, or None where nothing can be unknown. It exists even when the training text
      has no rare token, because a validation text may hold a character that training never saw. A generator never
      needs it: give it no probability.
    """

    level: ClassVar[str]
    raw: ClassVar[bool] = False
    """Whether any bytes will do, and a text is read as they are; otherwise it must be UTF-8, and CRLF becomes LF."""
    cuts_anywhere: ClassVar[bool] = False
    """Whether the parts of a text that is cut anywhere have the tokens of the whole; otherwise it is cut between lines
    or, where a line is very long, before a blank."""
    ends_lines: ClassVar[bool] = False
    """Whether the end of a text is the end of its last line, with or without a newline."""
    unknown: int | None

    def __init__(self, tokens: Iterable[str]) -> None:
        self.tokens = tuple(tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    @abstractmethod
    def train(cls, texts: Iterable[str], *, min_count: int = 1, vocabulary_size: int | None = None) -> Self:
        """Take the vocabulary from the training texts, or from the parts of one, and from nothing else.

        Tokens seen fewer than `min_count` times become unknown, and so do all but the `vocabulary_size` most frequent
        ones. The most frequent has id 0; equals stand in code point order, so that the same text gives the same ids on
        every machine.

        Raises UserError for a `vocabulary_size` that this level cannot have.
        """

    @abstractmethod
    def encode(self, text: str) -> Tensor:
        """Ids [N] of `text`, int32."""

    @abstractmethod
    def missing(self, text: str) -> list[str]:
        """What `text` holds and the vocabulary lacks, each once, in order of appearance."""

    def decoder(self) -> Callable[[int], str]:
        """A function to feed one id after another: it returns the text that can be printed by then."""
        return self.tokens.__getitem__

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """The text of `ids` [N]."""
        return "".join(map(self.decoder(), integers(ids)))

    def content(self) -> dict[str, Any]:
        """What `of` makes the same tokenizer from, as JSON can hold it."""
        return {"level": self.level, "tokens": list(self.tokens)}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """The tokenizer whose `content` this is.

        Raises ValueError, with what is wrong, for the content of another one.
        """
        tokens = content.get("tokens")
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise ValueError("tokens that are no list of strings")
        if len(set(tokens)) < len(tokens):
            raise ValueError("the same token twice")
        if fault := cls.fault(tokens):
            raise ValueError(fault)
        return cls(tokens)

    @classmethod
    def fault(cls, tokens: list[str]) -> str | None:
        """Why these cannot be the tokens of this level; None where they can."""
        return None

    def save(self, path: str | Path) -> None:
        """Write the vocabulary as JSON, whole or not at all; `load_tokenizer` reads it."""
        content = {"format": FORMAT, **self.content()}
        with replacing(Path(path)) as part:
            part.write_text(json.dumps(content, indent=0) + "\n", encoding="utf-8")


def by_frequency(
    counts: Mapping[str, int],
    min_count: int = 1,
    vocabulary_size: int | None = None,
    keep: frozenset[str] = frozenset(),
) -> list[str]:
    """Tokens seen `min_count` times or listed in `keep`, and `<unk>` with the count of all others, most frequent first.

    >>> by_frequency({"a": 5, "c": 2, "b": 2, "z": 1}, min_count=2)
    ['a', 'b', 'c', '<unk>']
    >>> by_frequency({"a": 5, "c": 2, "b": 2, "z": 1}, vocabulary_size=3)
    ['a', '<unk>', 'b']
    """
    kept = {token: n for token, n in counts.items() if token != UNKNOWN and (n >= min_count or token in keep)}
    if vocabulary_size is not None and len(kept) >= vocabulary_size:
        ranked = sorted(kept, key=lambda token: (token not in keep, -kept[token], token))
        kept = {token: kept[token] for token in ranked[: vocabulary_size - 1]}
    kept[UNKNOWN] = sum(counts.values()) - sum(kept.values())
    return sorted(kept, key=lambda token: (-kept[token], token))


def integers(ids: Iterable[int] | Tensor) -> list[int]:
    """Ids as Python's own numbers, whatever they come in."""
    return ids.tolist() if isinstance(ids, Tensor) else list(ids)
