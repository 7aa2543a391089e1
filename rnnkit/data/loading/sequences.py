"""What the data of finite sequences share: splits, batches by length, what was learned from the training split."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TextIO, TypeVar

from lightning import LightningDataModule

from rnnkit.batch import SequenceBatch
from rnnkit.data.io.writing import Write, row_writer
from rnnkit.data.loading.batches import Batches
from rnnkit.data.loading.workers import Workers
from rnnkit.errors import UserError
from rnnkit.files import replacing

Example = TypeVar("Example")


class SequenceData(LightningDataModule, ABC, Generic[Example]):
    """Finite sequences, each an `Example`, as batches of like length.

    A kind of data says how its splits are read (`read`), what is `learned` from the training split (vocabularies, label
    names, means and deviations) and `restore`d with a trained model, how long an example is, and how several become a
    batch (`collate`). For `rnnkit predict` it says how a file without targets is read and how predictions are written.

    After `setup`: `splits`, from "train", "valid" and, where there is one, "test" to its examples.

    Args:
        batch_size: sequences in a training batch, over all processes.
        eval_batch_size: the same for validation, test and prediction.
        seed: decides the order of the training sequences.
        workers: processes that collate batches ahead; see `rnnkit.data.loading.workers.Workers`.
    """

    task: str
    """The task that these data are for, by the name of its configuration."""

    def __init__(self, batch_size: int, eval_batch_size: int, seed: int, workers: int = 0) -> None:
        super().__init__()
        for name, size in (("batch_size", batch_size), ("eval_batch_size", eval_batch_size)):
            if not isinstance(size, int) or size < 1:
                raise UserError(f"data.{name}", "a whole number, 1 or more", repr(size), fix=f"data.{name}=32")
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.seed = seed
        self.workers = Workers(workers)
        self.splits: dict[str, Sequence[Example]] = {}
        self._training: Batches | None = None
        self._position: dict[str, int] | None = None
        self._is_restored = False

    @abstractmethod
    def read(self) -> Mapping[str, Sequence[Example]]:
        """The examples of each split, from files; nothing in them depends on another split."""

    @abstractmethod
    def learn(self, train: list[Example]) -> None:
        """Takes from the training split what `collate` needs."""

    @abstractmethod
    def learned(self) -> dict[str, Any]:
        """What `learn` took, as plain JSON values."""

    @abstractmethod
    def restore(self, learned: dict[str, Any]) -> None:
        """Takes back what `learned` gave."""

    def check_learned(self, learned: dict[str, Any]) -> None:
        """Look at what a file holds, upgraded, before it is restored; for data of one's own, nothing.

        Raises ValueError, with what is wrong, where `learned` cannot have given it, or not with these arguments.
        """
        return

    def upgraded(self, learned: dict[str, Any]) -> dict[str, Any]:
        """What an earlier version learned, in the form in which this one has it."""
        return learned

    @abstractmethod
    def length(self, example: Example) -> int:
        """Time steps of an example."""

    @abstractmethod
    def collate(self, examples: Sequence[Example]) -> SequenceBatch:
        """A batch of these examples; an example without a target gets `IGNORED` or NaN for one."""

    @property
    @abstractmethod
    def model_kwargs(self) -> dict[str, Any]:
        """What only the data know and a model's constructor needs; after `setup`."""

    @property
    def task_kwargs(self) -> dict[str, Any]:
        """What only the data know and a task's constructor needs; after `setup`."""
        return {}

    @abstractmethod
    def read_inputs(self, path: Path | None) -> Iterator[Example]:
        """Examples without targets, one after the other as they arrive, from a file or standard input (None)."""

    @abstractmethod
    def rows(self, example: Example, prediction: Any) -> Iterable[dict[str, Any]]:
        """What is written of one prediction to CSV or JSON lines: one row or several, each from column to value."""

    def writer(self, sink: TextIO, format_: str) -> Write:
        """What writes predictions to `sink`; UserError for a format that these data cannot be written in."""
        return row_writer(sink, format_, self.rows)

    def setup(self, stage: str | None = None) -> None:
        """Read the splits, once, and learn from the training split unless `restore` came before."""
        if self.splits:
            return
        splits = {name: list(examples) for name, examples in self.read().items()}
        self.splits = dict(splits)
        for name, examples in splits.items():
            if not examples:
                raise UserError(f"{name} split", "one sequence at least", "none", fix=f"data.{name}=another file")
        if not self._is_restored:
            self.learn(splits["train"])

    def save(self, folder: Path) -> None:
        """Write what a trained model needs of its data to be used again, `data.json`, into `folder`."""
        with replacing(folder / "data.json") as part:
            part.write_text(json.dumps(self.learned(), ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Take back what `save` wrote.

        Raises UserError when it is not there or damaged.
        """
        path = folder / "data.json"
        try:
            learned = self.upgraded(json.loads(path.read_text(encoding="utf-8")))
            self.check_learned(learned)
            self.restore(learned)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            fault = f"{error.argument}: {error.got}" if isinstance(error, UserError) else error
            got = f"'{path}' ({type(error).__name__}: {fault})"
            raise UserError("run", "a whole data.json", got, fix="another run folder") from error
        self._is_restored = True

    def train_dataloader(self) -> Batches:
        """The training split in random order; in the same order each time where the trainer overfits a few batches."""
        overfits = getattr(self.trainer, "overfit_batches", 0) > 0
        batches = self.batches("train", self.batch_size, shuffle=not overfits)
        if self._position is not None:
            batches.load_state_dict(self._position)
            self._position = None
        self._training = batches
        return batches

    def val_dataloader(self) -> Batches:
        """The validation split."""
        return self.loader("valid")

    def test_dataloader(self) -> Batches:
        """The test split."""
        return self.loader("test")

    def loader(self, split: str) -> Batches:
        """Batches for evaluation over any split; UserError when there is no such split."""
        return self.batches(split, self.eval_batch_size)

    def counts(self, split: str) -> dict[str, int]:
        """How many things an evaluation of a split measures, by their name."""
        return {"sequences": len(self.splits[split])}

    def batches(self, split: str, batch_size: int, *, shuffle: bool = False) -> Batches:
        """Batches over a split; UserError when there is no such split."""
        if split not in self.splits:
            have = ", ".join(self.splits) or "none before setup()"
            raise UserError("split", f"one of {have}", repr(split), fix=f"--split {next(iter(self.splits), 'train')}")
        examples = self.splits[split]
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return Batches(
            [self.length(example) for example in examples],
            lambda indices: self.collate([examples[index] for index in indices]),
            batch_size + -batch_size % world_size if not shuffle else batch_size,
            shuffle=shuffle,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
            workers=self.workers,
            pin=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
        )

    def state_dict(self) -> dict[str, Any]:
        """The position in the training split, for a checkpoint."""
        # Lightning keeps the state of loaders too, but loses it where a schedule has asked for the number of steps
        if self._training is None:
            return {}
        return {"position": self._training.state_dict(self.trainer.num_training_batches if self.trainer else None)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Lets the next training batches begin where `state_dict` was taken."""
        self._position = state["position"]
