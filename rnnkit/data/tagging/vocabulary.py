"""The vocabulary of tokens, characters and tags."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rnnkit.data.tagging.schemes import convert
from rnnkit.data.tagging.sentence import Encoded, Forms, Sentence
from rnnkit.tags import split_tag

UNKNOWN, BEGIN, END = 1, 2, 3
"""Ids of an unknown character and of the marks around a word; 0 is padding."""

PARTS = "OBIES"


@dataclass
class Vocabulary:
    """The vocabulary of the training sentences. Ids are positions in its lists, from 1, and from 0 for tags.

    Attributes:
        words: words, most frequent first, in lower case with `lowercase`. Id 0 is unknown. Words with ids from
            `rare_from` occur once in training.
        vector_words: words with given vectors. Id 0 is for words without a vector.
        alphabet: characters. Their ids follow those of `UNKNOWN`, `BEGIN` and `END`.
        tags: tags, most frequent first, in `scheme` if it is given. Tags that are not in training have ids after
            these, one for each of `PARTS`.
        usual: the id of the most frequent tag of each word. "" is for all other words; it has the most frequent tag of
            the words that occur once.
    """

    scheme: str | None = None
    max_characters: int = 24
    lowercase: bool = False
    words: list[str] = field(default_factory=list)
    rare_from: int = 1
    vector_words: list[str] = field(default_factory=list)
    alphabet: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    usual: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._word_id = {word: i for i, word in enumerate(self.words, 1)}
        self._vector_id = {word: i for i, word in enumerate(self.vector_words, 1)}
        self._character_id = {character: i for i, character in enumerate(self.alphabet, END + 1)}
        self._tag_id = {tag: i for i, tag in enumerate(self.tags)}

    def plain(self) -> dict[str, Any]:
        """The vocabulary as JSON values. `Vocabulary(**plain)` restores it."""
        return asdict(self)

    @classmethod
    def build(
        cls,
        sentences: Sequence[Sentence],
        scheme: str | None,
        min_count: int,
        max_characters: int,
        lowercase: bool,
        vector_words: list[str],
    ) -> "Vocabulary":
        """Build the vocabulary of training sentences. Words with fewer than `min_count` occurrences are unknown."""
        pairs = Counter(
            (token, tag)
            for sentence in sentences
            for token, tag in zip(sentence.tokens, in_scheme(sentence, scheme), strict=True)
        )
        words: Counter[str] = Counter()
        tags: Counter[str] = Counter()
        by_form: dict[str, Counter[str]] = {}
        for (form, tag), count in pairs.items():
            words[form.lower() if lowercase else form] += count
            tags[tag] += count
            by_form.setdefault(form, Counter())[tag] += count
        kept = [word for word in _by_count(words) if words[word] >= min_count]
        of_rare = Counter(next(iter(counts)) for counts in by_form.values() if counts.total() == 1)
        names = _by_count(tags)
        place = {tag: i for i, tag in enumerate(names)}
        usual = {"": of_rare or tags, **by_form}
        return cls(
            scheme,
            max_characters,
            lowercase,
            kept,
            1 + sum(words[word] > 1 for word in kept),
            vector_words,
            sorted({character for form in by_form for character in form}),
            names,
            {form: place[_by_count(counts)[0]] for form, counts in usual.items()},
        )

    def encode(self, sentences: Sequence[Sentence]) -> int:
        """Set the ids of each sentence. Return the number of tags that are not in the training split."""
        rows: dict[str, int] = {}
        form_N = np.fromiter(
            (rows.setdefault(token, len(rows)) for sentence in sentences for token in sentence.tokens), np.int64
        )
        lower = [form.lower() for form in rows] if self.lowercase or self._vector_id else []
        word_F = _ids(lower if self.lowercase else rows, self._word_id)
        vector_F = _ids(rows, self._vector_id)
        if self._vector_id:  # the vector of the lowercase word, if the word itself has none
            vector_F = np.where(vector_F == 0, _ids(lower, self._vector_id), vector_F)
        usual_F = _ids(rows, self.usual, self.usual.get("", 0))
        forms = self._forms(list(rows))
        tag_N = np.zeros(len(form_N), np.int64)
        if all(sentence.tags is not None for sentence in sentences):
            tag_N = np.fromiter(
                (self._tag(tag) for sentence in sentences for tag in in_scheme(sentence, self.scheme)), np.int64
            )
        columns = (word_F[form_N], vector_F[form_N], form_N, usual_F[form_N], tag_N)
        ids_N5 = torch.from_numpy(np.stack(columns, axis=1))
        parts = ids_N5.split([len(sentence.tokens) for sentence in sentences])
        for sentence, ids_T5 in zip(sentences, parts, strict=True):
            sentence.encoded = Encoded(ids_T5, forms)
        return int((tag_N >= len(self.tags)).sum())

    def _tag(self, tag: str) -> int:
        found = self._tag_id.get(tag)
        return len(self.tags) + PARTS.index(split_tag(tag)[0]) if found is None else found

    def _forms(self, words: list[str]) -> Forms:
        id_of = self._character_id
        head, tail = (self.max_characters + 1) // 2, self.max_characters // 2
        spelled = [word if len(word) <= head + tail else word[:head] + word[len(word) - tail :] for word in words]
        sizes_F = np.fromiter((len(word) + 2 for word in spelled), np.int64, len(spelled))
        characters_FK = np.zeros((len(spelled), int(sizes_F.max(initial=2))), np.int32)
        inside_FK = np.arange(characters_FK.shape[1]) < sizes_F[:, None]
        characters_FK[inside_FK] = np.fromiter(
            (i for word in spelled for i in (BEGIN, *(id_of.get(character, UNKNOWN) for character in word), END)),
            np.int32,
        )
        return Forms(torch.from_numpy(characters_FK), torch.from_numpy(sizes_F))


def in_scheme(sentence: Sentence, scheme: str | None) -> list[str]:
    """The tags of a sentence, converted to a scheme if one is given."""
    tags = sentence.tags or []
    return tags if scheme is None else convert(tags, scheme)


def _ids(words: Collection[str], id_of: dict[str, int], otherwise: int = 0) -> NDArray[np.int64]:
    return np.fromiter((id_of.get(word, otherwise) for word in words), np.int64, len(words))


def _by_count(counts: Counter[str]) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))
