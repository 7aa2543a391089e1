"""Text for language models: from a name or path to windows."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning import LightningDataModule
from torch import Tensor

from rnnkit.data.catalog import python_source
from rnnkit.data.catalog.origin import Origin
from rnnkit.data.corpus.corpus import Block, Corpus
from rnnkit.data.corpus.measure import Length
from rnnkit.data.corpus.splits import check_fractions, split
from rnnkit.data.corpus.store import Store
from rnnkit.data.corpus.tokens import StoredTokens
from rnnkit.data.corpus.windows import Windows
from rnnkit.data.io.sources import Paths
from rnnkit.data.tokenizers import LEVELS, Tokenizer, load_tokenizer
from rnnkit.errors import UserError
from rnnkit.notices import counted, notice
from rnnkit.ranges import Fraction, Level, PositiveInt, VocabularySize


@dataclass(frozen=True)
class TextSplit:
    """One split: its `tokens` [N] int32, and how long it is in units that do not depend on the tokenizer.

    The tokens of a large corpus lie on disk: they have a length, and slices of them are tensors. `words` counts one for
    the end of every line, as perplexities of the literature do. `unknown` is the number of tokens that are `<unk>`. A
    loss summed over the split, divided by one of these counts, is a loss per such unit.
    """

    tokens: Tensor | StoredTokens
    characters: int
    bytes: int
    words: int
    unknown: int

    @property
    def units(self) -> dict[str, int]:
        """How long it is, by the name of the unit."""
        return {"char": self.characters, "byte": self.bytes, "word": self.words}


class TextData(LightningDataModule):
    """A text corpus of any size as windows for truncated BPTT.

    What is read, the first of these that is given:

    * `path`: a file, a folder, a glob or a list of these, divided into splits by `valid_fraction` and `test_fraction`
      (see `rnnkit.data.corpus.splits.split`; a `test_fraction` of 0 makes no test split);
    * `train`, `valid` and, if wanted, `test`: the same kinds of path, each a split. With a `tokenizer` any one of
      them will do, because nothing has to be learned from the training text;
    * `dataset`: a name of `rnnkit data list`.

    `level` is what a token is: "char", "byte", "word" or "subword". Characters or words seen fewer than `min_count`
    times in the training text, and all but the `vocabulary_size` most frequent, are unknown. Of subwords there are
    `vocabulary_size` (8,000 where it is None). A `tokenizer`, one of another text or of a trained model, replaces the
    three.

    Training windows have `lanes` lanes of `bptt_steps` steps, with `random_steps` on average only; validation and test
    windows `eval_lanes` lanes, or fewer where the split is short. All lanes are totals over the processes of a
    distributed run.

    Files are read once, block by block. Up to 64 Mi bytes of text, then as many tokens, are kept in memory, more in a
    temporary file in the folder that TMPDIR names: the text itself while it is encoded, and one to four bytes for each
    token. Each process of a distributed run has its own.

    After `setup`: `tokenizer`, and `splits` from "train", "valid", "test" to `TextSplit`.

    Raises UserError for a number below 1, an unknown level or data set, paths that exclude each other, and in `setup`
    for files that cannot be read, splits that are too short and a disk without room for the temporary file.

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
    task_kwargs: dict[str, Any] = {}  # noqa: RUF012  the task needs none

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
        valid_fraction: Level = 0.05,
        test_fraction: Fraction = 0.05,
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
        if self.origin.path:
            check_fractions(valid_fraction, test_fraction)
        self.level = tokenizer.level if tokenizer else level
        self.min_count = min_count
        self.vocabulary_size = vocabulary_size
        self.valid_fraction = valid_fraction
        self.test_fraction = test_fraction
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
        """The tokenizer given or, after `setup`, the one built on the training split."""
        if self._tokenizer is None:
            raise RuntimeError("TextData has no tokenizer before setup()")
        return self._tokenizer

    @property
    def model_kwargs(self) -> dict[str, int]:
        """What only the data know and a model's constructor needs; after `setup`."""
        return {"vocabulary_size": len(self.tokenizer)}

    def save(self, folder: Path) -> None:
        """Write what a trained model needs of its data to be used again, `vocabulary.json`, into `folder`."""
        self.tokenizer.save(folder / "vocabulary.json")

    def load(self, folder: Path) -> None:
        """Take back what `save` wrote; any one split will do then, because nothing has to be learned.

        Raises UserError when it is not there or damaged.
        """
        self._tokenizer = load_tokenizer(folder / "vocabulary.json")
        self.level = self._tokenizer.level

    def setup(self, stage: str | None = None) -> None:
        """Read, split and encode the text, once; for training (`stage` "fit" or None) see that it is long enough."""
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
            self.splits = {name: self._encoded(name, corpus, blocks) for name, blocks in parts.items()}
        if stage in (None, "fit"):
            self._check_training_length()

    def train_dataloader(self) -> Windows:
        """Windows of `lanes` lanes and `bptt_steps` steps over the training split."""
        rank, world_size = self._process()
        overfits = getattr(self.trainer, "overfit_batches", 0) > 0  # the same windows again and again
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
        # Lightning keeps the state of loaders too, but loses it where a schedule has asked for the number of steps
        if self._training is None:
            return {}
        return {"position": self._training.state_dict(self.trainer.num_training_batches if self.trainer else None)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Lets the next training windows begin where `state_dict` was taken."""
        self._position = state["position"]

    def val_dataloader(self) -> Windows:
        """Windows over the validation split."""
        return self.windows("valid", self.eval_lanes, self.bptt_steps)

    def test_dataloader(self) -> Windows:
        """Windows over the test split."""
        return self.windows("test", self.eval_lanes, self.bptt_steps)

    def loader(self, split: str, lanes: PositiveInt = 1) -> Windows:
        """Long windows for evaluation over any split, by default in one lane: each token is predicted from all before.

        Raises UserError when there is no such split.
        """
        return self.windows(split, lanes, max(self.bptt_steps, 512))

    def counts(self, split: str) -> dict[str, int]:
        """What an evaluation of a split predicts: its tokens but the first, and how many are unknown to the model."""
        text = self._split(split)
        return {"tokens": len(text.tokens) - 1, "unknown": text.unknown}

    def windows(self, split: str, lanes: PositiveInt, steps: int) -> Windows:
        """Windows over any split; fewer `lanes` where the split has not a token for each.

        Raises UserError when there is no such split.
        """
        tokens, units = self._split(split).tokens, self._split(split).units
        rank, world_size = self._process()
        lanes = min(lanes, len(tokens) - 1)
        lanes += -lanes % world_size  # lanes may be empty, processes may not
        return Windows(tokens, lanes, steps, rank=rank, world_size=world_size, units=units)

    def _parts(self, corpus: Corpus) -> dict[str, list[Block]]:
        found = {name: corpus.read(paths, argument) for name, (paths, argument) in self.origin.found().items()}
        if found and "path" not in found:
            return {name: corpus.joined(documents) for name, documents in found.items()}
        documents = found.get("path") or [corpus.add(name, [text]) for name, text in python_source.documents()]
        return split(corpus, documents, self.valid_fraction, self.test_fraction)

    def _encoded(self, name: str, corpus: Corpus, blocks: Sequence[Block]) -> TextSplit:
        ids, unknown = Store(), 0
        ids.expected = sum(block.stop - block.start for block in blocks)
        for text in corpus.texts(blocks):
            part = self.tokenizer.encode(text).numpy()
            unknown += int(np.count_nonzero(part == self.tokenizer.unknown))
            ids.append(part)
        tokens = StoredTokens(ids)
        if len(tokens) < 2:
            raise UserError(
                f"{name} split",
                "two tokens at least",
                f"{len(tokens)}",
                fix=f"a longer text, or data.{name}=another.txt",
            )
        notice(f"{name}: {counted(len(tokens), 'token')}, {unknown:,} of them unknown")
        length = Length.of(block.measure for block in blocks)
        return TextSplit(tokens if tokens.is_on_disk else tokens[:], *length, unknown)

    def _check_vocabulary(self, tokenizer: Tokenizer) -> None:
        if len(tokenizer) == 1 and tokenizer.unknown is not None:
            expected = f"a number of times that a {self.level} of the training text occurs"
            raise UserError(
                "data.min_count", expected, f"{self.min_count}, and none occurs so often", fix="data.min_count=1"
            )

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
