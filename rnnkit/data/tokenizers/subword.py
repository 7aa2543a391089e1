"""Subwords: byte-pair encoding over UTF-8 bytes, so that nothing is unknown."""

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
"""Unless another is asked for."""


class SubwordTokenizer(Tokenizer):
    r"""Byte-pair encoding (Sennrich et al., 2016, arXiv:1508.07909) of bytes (Radford et al., 2019).

    Frequent sequences of bytes within a word are one token. A blank belongs to the word behind it, and a newline stands
    alone. Every byte is a token, so that any text can be encoded. The package `tokenizers` trains and applies it
    (`pip install 'rnnkit[text]'`).

    Args:
        tokens: written as byte-level encodings are: with a printable character for every byte.
        merges: pairs of tokens, in the order in which they are merged.

    Raises UserError where the package is missing, ValueError for merges that do not belong to the tokens.

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
            raise ValueError(f"a token with {error}, which stands for no byte") from error
        try:
            self._encoder = _encoder(_library().models.BPE(vocab=vocabulary, merges=self.merges))
        except Exception as error:  # the package raises nothing narrower
            raise ValueError(f"merges that do not fit the tokens ({error})") from error

    @classmethod
    def train(cls, texts: Iterable[str], *, min_count: int = 1, vocabulary_size: int | None = None) -> Self:
        """The bytes and the most frequent merges, `vocabulary_size` tokens at most (8,000 where it is None).

        Fewer where the text has no more pairs that occur `min_count` times, and twice at least.
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
        """The subwords of `text` as ids [N], int32; UserError for what is no Unicode text (lone surrogates)."""
        try:
            return torch.tensor(self._encoder.encode(text).ids, dtype=torch.int32)
        except TypeError as error:
            raise UserError("text", "Unicode text", "bytes that are no UTF-8", fix="data.level=byte") from error

    def missing(self, text: str) -> list[str]:
        """Nothing ever is."""
        return []

    def decoder(self) -> Callable[[int], str]:
        """As for every tokenizer; a character prints with its last byte, what is no UTF-8 prints as U+FFFD."""
        utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return lambda token: utf8.decode(self._bytes[token])

    def content(self) -> dict[str, Any]:
        return super().content() | {"merges": [list(pair) for pair in self.merges]}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        tokens, merges = content.get("tokens"), content.get("merges")
        if not isinstance(tokens, list) or not all(isinstance(token, str) and token for token in tokens):
            raise ValueError("tokens that are no list of strings")
        if len(set(tokens)) < len(tokens) or not {*_signs().values()} <= {*tokens}:
            raise ValueError("tokens that lack a byte, or have one twice")
        if not isinstance(merges, list) or not all(_is_a_pair(pair) for pair in merges):
            raise ValueError("merges that are no list of pairs")
        return cls(tokens, merges)


def _is_a_pair(pair: object) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(token, str) for token in pair)


def _encoder(model: Any) -> Any:
    """Words with the blank before them, and newlines, are encoded one by one: so are the lines of a text."""
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
    """The printable character of every byte: itself where it is one, else the next one from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}
