"""Base class of tokenizers."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor

from rnnkit.files import replacing

FORMAT = "rnnkit vocabulary 1"
UNKNOWN = "<unk>"
"""The token for everything that is not in the vocabulary: rare tokens of the training text, and unseen ones."""


class Tokenizer(ABC):
    """Base class of tokenizers: a vocabulary, and the conversion of text to ids and back.

    Attributes:
        level: the kind of token: "char", "byte", "word" or "subword".
        tokens: the printable text of each id. Ids are 0 to `len(tokenizer) - 1`.
        unknown: the id of `<unk>`, or None if no token can be unknown. It exists even if the training text has no rare
            tokens, because other texts may contain unseen characters. A generator should give it probability 0.
    """

    level: ClassVar[str]
    raw: ClassVar[bool] = False
    """Whether any bytes are accepted and read unchanged. Otherwise a text must be UTF-8, and CRLF becomes LF."""
    cuts_anywhere: ClassVar[bool] = False
    """Whether a text may be split anywhere without changing its tokens. Otherwise it is split between lines, or before
    a space in very long lines."""
    ends_lines: ClassVar[bool] = False
    """Whether the end of a text ends its last line, even without a newline."""
    unknown: int | None

    def __init__(self, tokens: Iterable[str]) -> None:
        self.tokens = tuple(tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    @abstractmethod
    def train(cls, texts: Iterable[str], *, min_count: int = 1, vocabulary_size: int | None = None) -> Self:
        """Build the vocabulary from training texts.

        The most frequent token has id 0. Ties are sorted by code point, so that the same text gives the same ids on
        every machine.

        Args:
            texts: the training texts, or the parts of one text.
            min_count: tokens with fewer occurrences become unknown.
            vocabulary_size: all but this many most frequent tokens become unknown; None for no limit.

        Raises:
            UserError: this level does not support the `vocabulary_size`.
        """

    @abstractmethod
    def encode(self, text: str) -> Tensor:
        """The ids of `text` [N], int32."""

    @abstractmethod
    def missing(self, text: str) -> list[str]:
        """The distinct tokens of `text` that are not in the vocabulary, in order of appearance."""

    def decoder(self) -> Callable[[int], str]:
        """A function for incremental decoding: it takes one id and returns the text that is complete by then."""
        return self.tokens.__getitem__

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """The text of `ids` [N]."""
        return "".join(map(self.decoder(), integers(ids)))

    def content(self) -> dict[str, Any]:
        """The tokenizer as JSON values; the inverse of `of`."""
        return {"level": self.level, "tokens": list(self.tokens)}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """Create a tokenizer from the result of `content`.

        Raises:
            ValueError: the content does not fit this level. The message has the reason.
        """
        tokens = content.get("tokens")
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise ValueError("tokens that are not a list of strings")
        if len(set(tokens)) < len(tokens):
            raise ValueError("a repeated token")
        if fault := cls.fault(tokens):
            raise ValueError(fault)
        return cls(tokens)

    @classmethod
    def fault(cls, tokens: list[str]) -> str | None:
        """The reason why these cannot be the tokens of this level; None if they can."""
        return None

    def save(self, path: str | Path) -> None:
        """Write the vocabulary atomically as JSON. `load_tokenizer` reads it."""
        content = {"format": FORMAT, **self.content()}
        with replacing(Path(path)) as part:
            part.write_text(json.dumps(content, indent=0) + "\n", encoding="utf-8")


def by_frequency(
    counts: Mapping[str, int],
    min_count: int = 1,
    vocabulary_size: int | None = None,
    keep: frozenset[str] = frozenset(),
) -> list[str]:
    """Tokens by frequency, most frequent first. `<unk>` is among them with the total count of the dropped tokens.

    Tokens with fewer than `min_count` occurrences are dropped, and all beyond the `vocabulary_size` most frequent.
    Tokens in `keep` are never dropped.

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
    """Ids as a list of Python integers."""
    return ids.tolist() if isinstance(ids, Tensor) else list(ids)
