"""From tokens, characters and tags to ids."""

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
    """What is learned from the training sentences; ids are places in these lists, counted from 1 but for tags.

    * `words`: the most frequent first, with `lowercase` in lower case; 0 is unknown. From id `rare_from` on they were
      seen once.
    * `vector_words`: those with given vectors; 0 is none.
    * `alphabet`: characters, after the ids of `UNKNOWN`, `BEGIN` and `END`.
    * `tags`: the most frequent first, in `scheme` if there is one. Tags that training never saw have ids behind
      those, one for each of `PARTS`.
    * `usual`: from words, as they are written, to the id of the tag they have most often; "" stands for all others and
      has the tag that is most frequent among the words seen once.
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
        """All of it as JSON values; `Vocabulary(**plain)` is the same again."""
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
        """What the training sentences have; words seen fewer than `min_count` times are unknown."""
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
        """Give each sentence its ids; returns how many of its tags training never saw."""
        rows: dict[str, int] = {}
        form_N = np.fromiter(
            (rows.setdefault(token, len(rows)) for sentence in sentences for token in sentence.tokens), np.int64
        )
        lower = [form.lower() for form in rows] if self.lowercase or self._vector_id else []
        word_F = _ids(lower if self.lowercase else rows, self._word_id)
        vector_F = _ids(rows, self._vector_id)
        if self._vector_id:  # in lower case, where there is no vector for a word as it is written
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
    """The tags of a sentence, in a scheme where there is one."""
    tags = sentence.tags or []
    return tags if scheme is None else convert(tags, scheme)


def _ids(words: Collection[str], id_of: dict[str, int], otherwise: int = 0) -> NDArray[np.int64]:
    return np.fromiter((id_of.get(word, otherwise) for word in words), np.int64, len(words))


def _by_count(counts: Counter[str]) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))
