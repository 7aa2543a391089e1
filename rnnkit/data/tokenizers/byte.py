"""Byte-level tokenizer."""

import codecs
from collections.abc import Callable, Iterable
from typing import Self

import numpy as np
import torch
from torch import Tensor

from rnnkit.data.tokenizers.tokenizer import Tokenizer, integers
from rnnkit.errors import UserError

TOKENS = tuple(chr(byte) if 0x20 <= byte < 0x7F else f"<{byte:02X}>" for byte in range(256))


class ByteTokenizer(Tokenizer):
    """A tokenizer whose tokens are the UTF-8 bytes of a text. The id of a token is the value of its byte.

    No token is unknown. Bytes that are not UTF-8 are represented in `str` as lone surrogates (Python's
    "surrogateescape") and converted back without loss.

    >>> tokenizer = ByteTokenizer()
    >>> tokenizer.encode("né").tolist()
    [110, 195, 169]
    >>> tokenizer.decode([110, 195, 169])
    'né'
    """

    level = "byte"
    raw = True
    cuts_anywhere = True
    unknown = None

    def __init__(self, tokens: Iterable[str] = TOKENS) -> None:
        super().__init__(tokens)

    @classmethod
    def train(cls, texts: Iterable[str] = (), *, min_count: int = 1, vocabulary_size: int | None = None) -> Self:
        """The tokenizer with 256 tokens. The texts are ignored."""
        if vocabulary_size not in (None, len(TOKENS)):
            raise UserError(
                "data.vocabulary_size",
                "null, because there are always 256 bytes",
                str(vocabulary_size),
                fix="data.level=subword",
            )
        return cls()

    def encode(self, text: str) -> Tensor:
        """The UTF-8 bytes of `text` [N], int32."""
        return torch.from_numpy(np.frombuffer(as_bytes(text), dtype=np.uint8).astype(np.int32))

    @classmethod
    def fault(cls, tokens: list[str]) -> str | None:
        return None if tuple(tokens) == TOKENS else "tokens that are not the 256 bytes"

    def missing(self, text: str) -> list[str]:
        """An empty list: no byte is unknown."""
        return []

    def decoder(self) -> Callable[[int], str]:
        """See `Tokenizer.decoder`. A character is returned with its last byte; invalid UTF-8 becomes U+FFFD."""
        utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return lambda byte: utf8.decode(bytes((byte,)))

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """The text of `ids` [N]. Invalid UTF-8, including an incomplete last character, becomes U+FFFD."""
        return bytes(integers(ids)).decode("utf-8", "replace")


def as_bytes(text: str) -> bytes:
    """The bytes from which `text` was read with `raw`."""
    return text.encode("utf-8", "surrogateescape")
