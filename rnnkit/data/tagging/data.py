"""The data module for tagging."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO

import torch
from torch import Tensor

from rnnkit.batch import SequenceBatch
from rnnkit.data.catalog.origin import Origin
from rnnkit.data.io.sources import Paths
from rnnkit.data.io.tables.format import TableFormat
from rnnkit.data.io.writing import Write
from rnnkit.data.loading.sequences import SequenceData
from rnnkit.data.loading.split import FractionSplit
from rnnkit.data.tagging.collation import collate
from rnnkit.data.tagging.files import Files
from rnnkit.data.tagging.learned import check_learned
from rnnkit.data.tagging.schemes import convert
from rnnkit.data.tagging.sentence import Sentence
from rnnkit.data.tagging.tag_kind import PLAIN, check_scheme, check_tagged, check_tags, own_scheme, report_departures
from rnnkit.data.tagging.vectors import read_vectors
from rnnkit.data.tagging.vocabulary import Vocabulary
from rnnkit.data.tagging.writing import sentence_writer
from rnnkit.errors import UserError
from rnnkit.nested import nested
from rnnkit.notices import counted, notice
from rnnkit.predictions import TagPrediction
from rnnkit.ranges import NonNegativeInt, PositiveInt, Seed


class TagData(SequenceData[Sentence]):
    r"""A data module for sentences with a tag for each token.

    The sentences come from `path`, from `train` and `valid`, or from `dataset`; the first that is given is used.

    The formats are CoNLL-U, columns as in the CoNLL shared tasks, and JSON lines `{"tokens": [...], "tags": [...]}`.
    Files that end in `.gz`, `.xz` or `.zip` are decompressed.

    Tags of entities and their scheme (see `rnnkit.data.tagging.schemes.PARTS`) are detected and printed.

    Args:
        dataset: a name of `rnnkit data list`.
        path: a file, a folder, a glob or a list of these, to divide into splits. The first sentences are for training,
            the last for test.
        train: the training files, as for `path`.
        valid: the validation files, as for `path`.
        test: the test files, as for `path`; optional.
        table: the encoding of the files, and the delimiter of columns; the other entries have no effect.
        format: conllu, columns or jsonl for all files. None uses the extension of a file: `.conllu`, `.jsonl`, else
            columns.
        token_column: the column of tokens: a name in CoNLL-U (default: form), else a number from 0 (default: 0).
        tag_column: the column of tags: a name in CoNLL-U (default: upos), else a number (default: -1).
        scheme: bio or bioes converts tags of entities for training and predictions back; plain treats all tags as
            plain labels; None keeps the scheme of the files.
        min_count: words with fewer occurrences in training become unknown.
        lowercase: whether to lowercase words. Characters keep their case.
        max_characters: the middle of longer words is dropped.
        vectors: a text file of word vectors in the format of GloVe or fastText. Those of the words of the splits are
            kept.
        split: the parts of the sentences of `path` for validation and test.
        batch_size: see `SequenceData`.
        eval_batch_size: see `SequenceData`.
        seed: see `SequenceData`.
        workers: see `SequenceData`.

    Attributes:
        vocabulary: after `setup`, the vocabulary.
        vectors: after `setup`, the word vectors [N, D], with zeros in the first row, or None.

    Raises:
        UserError: a number is below 1, a format or scheme is unknown, or paths exclude each other. In `setup`: a file
            cannot be read. The message has the line.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "small.conll").write_text("EU B-ORG\nrejects O\n\nOne O\ncall O\n\n" * 20)
    ...     data = TagData(path=f"{folder}/small.conll", batch_size=4)
    ...     data.setup()
    >>> data.task_kwargs
    {'tags': ['O', 'B-ORG']}
    >>> next(iter(data.train_dataloader())).shape
    (4, 2)
    """

    task = "tagging"

    def __init__(
        self,
        dataset: str | None = None,
        path: Paths | None = None,
        train: Paths | None = None,
        valid: Paths | None = None,
        test: Paths | None = None,
        table: TableFormat | Mapping[str, Any] | None = None,
        format: Literal["conllu", "columns", "jsonl"] | None = None,
        token_column: str | int | None = None,
        tag_column: str | int | None = None,
        scheme: Literal["bio", "bioes", "plain"] | None = None,
        min_count: PositiveInt = 1,
        lowercase: bool = False,
        max_characters: PositiveInt = 24,
        vectors: str | None = None,
        split: FractionSplit | Mapping[str, Any] | None = None,
        batch_size: PositiveInt = 32,
        eval_batch_size: PositiveInt = 64,
        seed: Seed = 0,
        workers: NonNegativeInt = 0,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, seed, workers)
        for name, count in (("min_count", min_count), ("max_characters", max_characters)):
            if not isinstance(count, int) or count < 1:
                raise UserError(f"data.{name}", "a whole number, 1 or more", repr(count), fix=f"data.{name}=1")
        check_scheme(scheme)
        self.origin = Origin.of(dataset, path, train, valid, test)
        self.files = Files(format, token_column, tag_column, nested(TableFormat, table, "data.table"))
        self.scheme = scheme
        self.min_count, self.lowercase, self.max_characters = min_count, lowercase, max_characters
        self.vectors_file = vectors
        self.split = nested(FractionSplit, split, "data.split")
        self.vocabulary = Vocabulary()
        self.vectors: Tensor | None = None
        self._own_scheme: str | None = None  # the scheme of the files; None if the tags are not entities

    @property
    def model_kwargs(self) -> dict[str, Any]:
        """Arguments of the model's constructor that depend on the data. Available after `setup`."""
        known = self.vocabulary
        return {
            "vocabulary_size": len(known.words) + 1,
            "rare_from": known.rare_from,
            "alphabet_size": len(known.alphabet) + 4,
            "vectors": len(known.vector_words) + 1 if known.vector_words else 0,
            "vector_size": self._vector_size,
            "tags": known.tags,
            "scheme": self._trained_scheme,
        }

    @property
    def task_kwargs(self) -> dict[str, Any]:
        """The names of the tags. Available after `setup`."""
        return {"tags": self.vocabulary.tags}

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        super().setup(stage)
        for name, sentences in self.splits.items():
            if self._own_scheme is not None:
                self._check(name, sentences)
            unseen = self.vocabulary.encode(sentences)
            tokens = sum(len(sentence.tokens) for sentence in sentences)
            notice(f"{name}: {counted(len(sentences), 'sentence')}, {counted(tokens, 'token')}")
            if unseen:
                notice(
                    f"{name}: {counted(unseen, 'token')} with a tag that is not in the training split, counted as wrong"
                )

        limit = self.max_characters
        long = {token for split in self.splits.values() for s in split for token in s.tokens if len(token) > limit}
        if long:
            notice(f"{counted(len(long), 'word')} longer than data.max_characters={limit}; their middle is dropped")

    def read(self) -> Mapping[str, list[Sentence]]:
        if not self._is_restored:
            self.origin.require_both("corpus.conllu")
        found = {name: self.files.read(*given, known=self._is_restored) for name, given in self.origin.found().items()}
        if "path" in found:
            return self._divided(found["path"])
        return found or self.own_splits()

    def own_splits(self) -> Mapping[str, list[Sentence]]:
        """The splits if no file is named.

        Raises:
            UserError: by default, because there are none.
        """
        raise UserError("data.path", "sentences to read", "nothing", fix="data.path=a.conllu or data=python_names")

    def learn(self, train: list[Sentence]) -> None:
        check_tagged(train, self.files.another_tag())
        self._own_scheme = own_scheme(train, self.scheme)
        words: list[str] = []
        if self.vectors_file is not None:
            seen = {token for split in self.splits.values() for sentence in split for token in sentence.tokens}
            words, rows_ND = read_vectors(self.vectors_file, seen | {token.lower() for token in seen})
            known = set(words)
            covered = sum(token in known or token.lower() in known for token in seen)
            notice(f"vectors: for {covered:,} of {len(seen):,} words")
            self.vectors = torch.cat([torch.zeros(1, rows_ND.shape[1]), rows_ND])
            self._vector_size = rows_ND.shape[1]
        self.vocabulary = Vocabulary.build(
            train, self._trained_scheme, self.min_count, self.max_characters, self.lowercase, words
        )

    _vector_size = 0

    def learned(self) -> dict[str, Any]:
        return {
            "vocabulary": self.vocabulary.plain(),
            "own_scheme": self._own_scheme,
            "files": self.files.learned(),
            "vector_size": self._vector_size,
        }

    def check_learned(self, learned: dict[str, Any]) -> None:
        check_learned(learned)
        vocabulary = learned["vocabulary"]
        given = {"max_characters": self.max_characters, "lowercase": self.lowercase, "scheme": self._trained_scheme}
        for name, value in given.items():
            if vocabulary[name] != value:
                raise ValueError(f"vocabulary.{name} is {vocabulary[name]!r}, but {value!r} in the configuration")

    def restore(self, learned: dict[str, Any]) -> None:
        self.vocabulary = Vocabulary(**learned["vocabulary"])
        self._own_scheme = learned["own_scheme"]
        self.files.restore(learned["files"])
        self._vector_size = learned["vector_size"]

    def upgraded(self, learned: dict[str, Any]) -> dict[str, Any]:
        if "files" in learned:
            return learned
        # the first version did not store the number of columns, and used bio for tags that are not entities
        notice(
            "the run was trained by an earlier version, which read tags of unknown schemes as O: train it again if the "
            "files have other schemes than BIO and BIOES"
        )
        old = dict(learned)
        old["files"] = {"format": old.pop("own_format"), "columns": self.files.learned()["columns"]}
        scheme = {"bio1": "iob1"}.get(old["own_scheme"], old["own_scheme"])
        return old | {"own_scheme": None if old["vocabulary"]["scheme"] is None else scheme}

    def length(self, example: Sentence) -> int:
        return len(example.tokens)

    def collate(self, examples: Sequence[Sentence]) -> SequenceBatch:
        return collate(examples, self.vocabulary)

    def read_inputs(self, path: Path | None) -> Iterator[Sentence]:
        return self.files.inputs(path)

    def rows(self, example: Sentence, prediction: TagPrediction | None) -> Iterable[dict[str, Any]]:
        return [
            {"token": token, "tag": tag}
            for token, tag in zip(example.tokens, self._in_own_scheme(prediction), strict=True)
        ]

    def writer(self, sink: TextIO, format_: str) -> Write:
        write = sentence_writer(sink, format_, self.files.of_input, self.files.tag_in_conllu())
        return lambda example, prediction: write(example, self._in_own_scheme(prediction))

    def _in_own_scheme(self, prediction: TagPrediction | None) -> list[str]:
        own, tags = self._own_scheme, [] if prediction is None else prediction.tags
        return tags if own is None or self._trained_scheme is None else convert(tags, own)

    @property
    def _trained_scheme(self) -> str | None:
        return None if self.scheme == PLAIN else self.scheme

    def _divided(self, sentences: list[Sentence]) -> dict[str, list[Sentence]]:
        tested, validated = (
            round(len(sentences) * fraction) for fraction in (self.split.test_fraction, self.split.valid_fraction)
        )
        trained = len(sentences) - tested - validated
        splits = {"train": sentences[:trained], "valid": sentences[trained : trained + validated]}
        return splits if self.split.test_fraction == 0 else {**splits, "test": sentences[trained + validated :]}

    def _check(self, name: str, sentences: Sequence[Sentence]) -> None:
        """Check tags of entities: their form, and their scheme against that of training."""
        assert self._own_scheme is not None
        check_tags(sentences)
        report_departures(name, sentences, self._own_scheme, converted=self._trained_scheme is not None)
