"""The data module for language models."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from lightning import LightningDataModule

from rnnkit.data.catalog import python_source
from rnnkit.data.catalog.origin import Origin
from rnnkit.data.corpus.corpus import Block, Corpus
from rnnkit.data.corpus.splits import CorpusSplit
from rnnkit.data.corpus.splits import split as split_corpus
from rnnkit.data.corpus.text_split import TextSplit
from rnnkit.data.corpus.windows import Windows
from rnnkit.data.io.sources import Paths
from rnnkit.data.tokenizers import LEVELS, Tokenizer, load_tokenizer
from rnnkit.errors import UserError
from rnnkit.nested import nested
from rnnkit.ranges import PositiveInt, VocabularySize


class TextData(LightningDataModule):
    """A data module that reads a text corpus of any size and yields windows for truncated BPTT.

    The text comes from `path`, from `train` and `valid`, or from `dataset`; the first that is given is used.

    Files are read once, block by block. Up to 64 Mi bytes of text, then as many tokens, are kept in memory. More are
    kept in a temporary file in the folder of TMPDIR: the text while it is encoded, and one to four bytes per token.
    Each process of a distributed run has its own file.

    Args:
        dataset: a name of `rnnkit data list`.
        path: a file, a folder, a glob or a list of these, to divide into splits (see
            `rnnkit.data.corpus.splits.split`).
        train: the training text, as for `path`. With a `tokenizer`, any single split is sufficient.
        valid: the validation text, as for `path`.
        test: the test text, as for `path`; optional.
        level: the kind of token: "char", "byte", "word" or "subword".
        min_count: characters or words with fewer occurrences in the training text become unknown.
        vocabulary_size: the number of most frequent characters or words to keep; None keeps all. For subwords, the
            number of tokens; None is 8,000.
        split: the parts of `path` for validation and test.
        lanes: parallel streams of a training window, over all processes.
        bptt_steps: time steps of a training window.
        random_steps: whether to vary the lengths of training windows; `bptt_steps` is then their mean.
        eval_lanes: parallel streams of a validation or test window, over all processes; fewer if the split is short.
        tokenizer: the tokenizer of another text or of a trained model. It replaces `level`, `min_count` and
            `vocabulary_size`.

    Attributes:
        splits: after `setup`, a `TextSplit` for each of "train", "valid" and "test".

    Raises:
        UserError: a number is below 1, the level or data set is unknown, or paths exclude each other. In `setup`: a
            file cannot be read, a split is too short, or the disk has no space for the temporary file.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "corpus.txt").write_text("to be or not to be. " * 100)
    ...     data = TextData(path=f"{folder}/corpus.txt", lanes=4, bptt_steps=16)
    ...     data.setup()
    >>> data.model_kwargs
    {'vocabulary_size': 9}
    >>> batch = next(iter(data.train_dataloader()))
    >>> data.tokenizer.decode(batch.inputs[0]), data.tokenizer.decode(batch.targets[0])
    ('to be or not to ', 'o be or not to b')
    """

    task = "language_modeling"
    task_kwargs: dict[str, Any] = {}  # noqa: RUF012  the task has no such arguments

    def __init__(
        self,
        dataset: str | None = None,
        path: Paths | None = None,
        train: Paths | None = None,
        valid: Paths | None = None,
        test: Paths | None = None,
        level: Literal["char", "byte", "word", "subword"] = "char",
        min_count: PositiveInt = 1,
        vocabulary_size: VocabularySize | None = None,
        split: CorpusSplit | Mapping[str, Any] | None = None,
        lanes: PositiveInt = 64,
        bptt_steps: PositiveInt = 64,
        random_steps: bool = False,
        eval_lanes: PositiveInt = 8,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        super().__init__()
        if level not in tuple(LEVELS):
            near = difflib.get_close_matches(str(level), LEVELS, n=1, cutoff=0.4) or ["char"]
            raise UserError("data.level", f"one of {', '.join(LEVELS)}", repr(level), fix=f"data.level={near[0]}")
        counts = {"min_count": min_count, "lanes": lanes, "bptt_steps": bptt_steps, "eval_lanes": eval_lanes}
        for name, count in counts.items():
            if not isinstance(count, int) or count < 1:
                raise UserError(f"data.{name}", "a whole number, 1 or more", repr(count), fix=f"data.{name}=1")
        least = 2 if vocabulary_size is None else vocabulary_size
        if not isinstance(least, int) or least < 2:
            raise UserError("data.vocabulary_size", "2 or more, or null", repr(least), fix="data.vocabulary_size=8000")
        self.origin = Origin.of(dataset, path, train, valid, test)
        self.origin.require("a text", fix="data.path=my_corpus.txt or data=python_stdlib")
        self.level = tokenizer.level if tokenizer else level
        self.min_count = min_count
        self.vocabulary_size = vocabulary_size
        self.split = nested(CorpusSplit, split, "data.split")
        self.lanes = lanes
        self.bptt_steps = bptt_steps
        self.random_steps = random_steps
        self.eval_lanes = eval_lanes
        self.splits: dict[str, TextSplit] = {}
        self._tokenizer = tokenizer
        self._training: Windows | None = None
        self._position: dict[str, int] | None = None

    @property
    def tokenizer(self) -> Tokenizer:
        """The given tokenizer or, after `setup`, the one trained on the training split."""
        if self._tokenizer is None:
            raise RuntimeError("TextData has no tokenizer before setup()")
        return self._tokenizer

    @property
    def model_kwargs(self) -> dict[str, int]:
        """Arguments of the model's constructor that depend on the data. Available after `setup`."""
        return {"vocabulary_size": len(self.tokenizer)}

    def save(self, folder: Path) -> None:
        """Write the vocabulary to `vocabulary.json` in `folder`."""
        self.tokenizer.save(folder / "vocabulary.json")

    def load(self, folder: Path) -> None:
        """Load the vocabulary that `save` wrote. Any single split is then sufficient.

        Raises:
            UserError: the file is missing or damaged.
        """
        self._tokenizer = load_tokenizer(folder / "vocabulary.json")
        self.level = self._tokenizer.level

    def setup(self, stage: str | None = None) -> None:
        """Read, split and encode the text once. For training (`stage` "fit" or None), check that it is long enough."""
        if not self.splits:
            if self._tokenizer is None:
                self.origin.require_both("corpus.txt")
            kind = type(self._tokenizer) if self._tokenizer else LEVELS[self.level]
            corpus = Corpus(kind)
            parts = self._parts(corpus)
            if self._tokenizer is None:
                texts = corpus.texts(parts["train"])
                self._tokenizer = kind.train(texts, min_count=self.min_count, vocabulary_size=self.vocabulary_size)
                self._check_vocabulary(self._tokenizer)
            self.splits = {name: TextSplit.of(name, corpus, blocks, self._tokenizer) for name, blocks in parts.items()}
        if stage in (None, "fit"):
            self._check_training_length()

    def train_dataloader(self) -> Windows:
        """Windows of `lanes` lanes and `bptt_steps` steps over the training split."""
        rank, world_size = self._process()
        overfits = getattr(self.trainer, "overfit_batches", 0) > 0  # repeats the same windows
        windows = Windows(
            self._split("train").tokens,
            self.lanes,
            self.bptt_steps,
            random_steps=self.random_steps and not overfits,
            rank=rank,
            world_size=world_size,
        )
        if self._position is not None:
            windows.load_state_dict(self._position)
            self._position = None
        self._training = windows
        return windows

    def state_dict(self) -> dict[str, Any]:
        """The position in the training text, for a checkpoint."""
        # Lightning also stores the state of loaders, but loses it if a schedule asked for the number of steps
        if self._training is None:
            return {}
        return {"position": self._training.state_dict(self.trainer.num_training_batches if self.trainer else None)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Start the next training windows at the position of `state_dict`."""
        self._position = state["position"]

    def val_dataloader(self) -> Windows:
        """Windows over the validation split."""
        return self.windows("valid", self.eval_lanes, self.bptt_steps)

    def test_dataloader(self) -> Windows:
        """Windows over the test split."""
        return self.windows("test", self.eval_lanes, self.bptt_steps)

    def loader(self, split: str, lanes: PositiveInt = 1) -> Windows:
        """Long windows for the evaluation of any split. With one lane, each token is predicted from all tokens before.

        Raises:
            UserError: there is no such split.
        """
        return self.windows(split, lanes, max(self.bptt_steps, 512))

    def counts(self, split: str) -> dict[str, int]:
        """The numbers of predicted tokens (all but the first) and of unknown tokens in an evaluation of a split."""
        text = self._split(split)
        return {"tokens": len(text.tokens) - 1, "unknown": text.unknown}

    def windows(self, split: str, lanes: PositiveInt, steps: int) -> Windows:
        """Windows over any split, with fewer `lanes` if the split is too short for all of them.

        Raises:
            UserError: there is no such split.
        """
        tokens, units = self._split(split).tokens, self._split(split).units
        rank, world_size = self._process()
        lanes = min(lanes, len(tokens) - 1)
        lanes += -lanes % world_size  # a lane may be empty, but not a process
        return Windows(tokens, lanes, steps, rank=rank, world_size=world_size, units=units)

    def _parts(self, corpus: Corpus) -> dict[str, list[Block]]:
        found = {name: corpus.read(paths, argument) for name, (paths, argument) in self.origin.found().items()}
        if found and "path" not in found:
            return {name: corpus.joined(documents) for name, documents in found.items()}
        documents = found.get("path") or [corpus.add(name, [text]) for name, text in python_source.documents()]
        return split_corpus(corpus, documents, self.split.valid_fraction, self.split.test_fraction)

    def _check_vocabulary(self, tokenizer: Tokenizer) -> None:
        if len(tokenizer) == 1 and tokenizer.unknown is not None:
            expected = f"at most the count of the most frequent {self.level} of the training text"
            raise UserError("data.min_count", expected, f"{self.min_count}, which is more", fix="data.min_count=1")

    def _check_training_length(self) -> None:
        predictions = len(self._split("train").tokens) - 1
        if predictions < self.lanes * self.bptt_steps:
            steps = min(self.bptt_steps, predictions)
            raise UserError(
                "data.lanes",
                f"a training text of at least one window for each lane, {self.lanes} lanes x {self.bptt_steps} steps",
                f"{predictions:,} predictions",
                fix=f"data.lanes={max(1, predictions // steps)} data.bptt_steps={steps}",
            )

    def _split(self, name: str) -> TextSplit:
        if name not in self.splits:
            have = ", ".join(self.splits) or "none before setup()"
            raise UserError("split", f"one of {have}", repr(name), fix=f"split={next(iter(self.splits), 'train')}")
        return self.splits[name]

    def _process(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
