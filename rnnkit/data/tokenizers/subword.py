"""Subword tokenizer: byte-pair encoding of UTF-8 bytes."""

import codecs
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Self

import torch
from torch import Tensor

from rnnkit.data.tokenizers.tokenizer import Tokenizer
from rnnkit.errors import UserError

VOCABULARY_SIZE = 8000
"""The default vocabulary size."""


class SubwordTokenizer(Tokenizer):
    r"""Byte-pair encoding (Sennrich et al., 2016, arXiv:1508.07909) of bytes (Radford et al., 2019).

    Frequent byte sequences within a word are merged into tokens. A space belongs to the word after it, and a newline is
    a separate token. Every byte is a token, so that any text can be encoded. The package `tokenizers` does the training
    and the encoding (`pip install 'rnnkit[text]'`).

    Args:
        tokens: the tokens in byte-level form, with one printable character per byte.
        merges: pairs of tokens, in the order in which they are merged.

    Raises:
        UserError: the package `tokenizers` is not installed.
        ValueError: the merges do not fit the tokens.

    >>> tokenizer = SubwordTokenizer.train(["low lower lowest\n" * 9], vocabulary_size=260)
    >>> ids = tokenizer.encode("lower\n")
    >>> len(tokenizer), [tokenizer.tokens[id] for id in ids], tokenizer.decode(ids)
    (260, ['low', 'e', 'r', 'Ċ'], 'lower\n')
    """

    level = "subword"
    unknown = None

    def __init__(self, tokens: Iterable[str], merges: Iterable[Iterable[str]]) -> None:
        super().__init__(tokens)
        self.merges = [(first, second) for first, second in merges]
        vocabulary = {token: number for number, token in enumerate(self.tokens)}
        byte_of = {sign: byte for byte, sign in _signs().items()}
        try:
            self._bytes = [bytes(byte_of[sign] for sign in token) for token in self.tokens]
        except KeyError as error:
            raise ValueError(f"a token with {error}, which does not represent a byte") from error
        try:
            self._encoder = _encoder(_library().models.BPE(vocab=vocabulary, merges=self.merges))
        except Exception as error:  # the package raises plain Exception
            raise ValueError(f"merges that do not fit the tokens ({error})") from error

    @classmethod
    def train(cls, texts: Iterable[str], *, min_count: int = 1, vocabulary_size: int | None = None) -> Self:
        """A tokenizer with all bytes and the most frequent merges.

        A merged pair occurs at least `min_count` times, and at least twice. If the texts have too few such pairs, the
        vocabulary is smaller than `vocabulary_size` (8,000 if None).
        """
        size = VOCABULARY_SIZE if vocabulary_size is None else vocabulary_size
        signs = sorted(_signs().values())
        if size < len(signs):
            expected = f"{len(signs)} or more, since every byte is a token"
            raise UserError("data.vocabulary_size", expected, str(size), fix="data.vocabulary_size=8000")
        trainer = _library().trainers.BpeTrainer(
            vocab_size=size, min_frequency=max(min_count, 2), initial_alphabet=signs, show_progress=False
        )
        encoder = _encoder(_library().models.BPE())
        encoder.train_from_iterator(texts, trainer)
        learned = json.loads(encoder.to_str())["model"]
        return cls(sorted(learned["vocab"], key=learned["vocab"].get), learned["merges"])

    def encode(self, text: str) -> Tensor:
        """The subwords of `text` as ids [N], int32.

        Raises:
            UserError: `text` contains lone surrogates, which are not Unicode text.
        """
        try:
            return torch.tensor(self._encoder.encode(text).ids, dtype=torch.int32)
        except TypeError as error:
            raise UserError("text", "Unicode text", "bytes that are not UTF-8", fix="data.level=byte") from error

    def missing(self, text: str) -> list[str]:
        """An empty list: no text is unknown."""
        return []

    def decoder(self) -> Callable[[int], str]:
        """See `Tokenizer.decoder`. A character is returned with its last byte; invalid UTF-8 becomes U+FFFD."""
        utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return lambda token: utf8.decode(self._bytes[token])

    def content(self) -> dict[str, Any]:
        return super().content() | {"merges": [list(pair) for pair in self.merges]}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        tokens, merges = content.get("tokens"), content.get("merges")
        if not isinstance(tokens, list) or not all(isinstance(token, str) and token for token in tokens):
            raise ValueError("tokens that are not a list of strings")
        if len(set(tokens)) < len(tokens) or not {*_signs().values()} <= {*tokens}:
            raise ValueError("tokens with a missing or repeated byte")
        if not isinstance(merges, list) or not all(_is_a_pair(pair) for pair in merges):
            raise ValueError("merges that are not a list of pairs")
        return cls(tokens, merges)


def _is_a_pair(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(token, str) for token in pair)


def _encoder(model: Any) -> Any:
    """The encoder of the library. It encodes newlines and words with the space before them separately."""
    library = _library()
    encoder = library.Tokenizer(model)
    split = library.pre_tokenizers.Split("\n", "isolated")
    encoder.pre_tokenizer = library.pre_tokenizers.Sequence(
        [split, library.pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return encoder


def _library() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise UserError(
            "data.level",
            "char, byte or word",
            "subword, without the package tokenizers",
            fix="pip install 'rnnkit[text]'",
        ) from error
    return tokenizers


@cache
def _signs() -> dict[int, str]:
    """The printable character of each byte: the byte itself if it is printable, else the next one from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}
