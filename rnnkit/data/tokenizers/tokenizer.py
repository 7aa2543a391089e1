"""What a tokenizer promises: text to ids and back, as one stream or one id at a time."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import ClassVar, Self

from torch import Tensor

from rnnkit.data.atomic import replacing

FORMAT = "rnnkit vocabulary 1"
UNKNOWN = "<unk>"
"""Stands for what the vocabulary lacks: the rare tokens of the training text and all that never occurred in it."""


class Tokenizer(ABC):
    """A vocabulary and the way to cut text into it.

    * `level`: what a token is: "char", "byte" or "word".
    * `tokens`: the printable text of every id; ids run from 0 to `len(tokenizer) - 1`.
    * `unknown`: the id of `<unk>`, or None where nothing can be unknown. It exists even when the training text
      has no rare token, because a validation text may hold a character that training never saw. A generator never
      needs it: give it no probability.
    """

    level: ClassVar[str]
    unknown: int | None

    def __init__(self, tokens: Iterable[str]) -> None:
        self.tokens = tuple(tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    @abstractmethod
    def from_counts(cls, counts: Mapping[str, int], min_count: int = 1) -> Self:
        """Take the vocabulary from how often each token occurs in the training split, and nothing else.

        Tokens seen fewer than `min_count` times become unknown. The most frequent has id 0; equals stand in code
        point order, so that the same text gives the same ids on every machine.
        """

    @classmethod
    @abstractmethod
    def build(cls, text: str, min_count: int = 1) -> Self:
        """Take the vocabulary from `text`, as `from_counts` does."""

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

    def save(self, path: str | Path) -> None:
        """Write the vocabulary as JSON, whole or not at all; `load_tokenizer` reads it."""
        content = {"format": FORMAT, "level": self.level, "tokens": self.tokens}
        with replacing(Path(path)) as part:
            part.write_text(json.dumps(content, indent=0) + "\n", encoding="utf-8")


def by_frequency(counts: Mapping[str, int], min_count: int, keep: frozenset[str] = frozenset()) -> list[str]:
    """Tokens seen `min_count` times or listed in `keep`, and `<unk>` with the count of all others, most frequent first.

    >>> by_frequency({"a": 5, "c": 2, "b": 2, "z": 1}, min_count=2)
    ['a', 'b', 'c', '<unk>']
    """
    kept = {token: n for token, n in counts.items() if token != UNKNOWN and (n >= min_count or token in keep)}
    kept[UNKNOWN] = sum(counts.values()) - sum(kept.values())
    return sorted(kept, key=lambda token: (-kept[token], token))


def integers(ids: Iterable[int] | Tensor) -> list[int]:
    """Ids as Python's own numbers, whatever they come in."""
    return ids.tolist() if isinstance(ids, Tensor) else list(ids)
