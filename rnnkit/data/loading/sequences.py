"""Base class of data modules for finite sequences."""

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
    """Base class of data modules for finite sequences, with batches of similar length.

    A subclass sets `task` and implements `read`, `length`, `collate` and `model_kwargs`. It implements `learn`,
    `learned` and `restore` if it computes anything from the training split, such as vocabularies, class names, means
    and deviations. It implements `read_inputs` and `rows` to support `rnnkit predict`.

    Args:
        batch_size: sequences per training batch, over all processes.
        eval_batch_size: sequences per batch for validation, test and prediction.
        seed: seed of the order of the training sequences.
        workers: processes that collate batches ahead; see `rnnkit.data.loading.workers.Workers`.

    Attributes:
        splits: after `setup`, the examples of "train", "valid" and, if it exists, "test".

    Raises:
        UserError: a size or the number of workers is out of range.
    """

    task: str
    """The task of these data, by the name of its configuration."""

    def __init__(self, batch_size: int = 32, eval_batch_size: int = 64, seed: int = 1, workers: int = 0) -> None:
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
        """Read the examples of each split from files. No example may depend on another split."""

    def learn(self, train: list[Example]) -> None:
        """Compute what `collate` needs from the training split. By default, nothing."""

    def learned(self) -> dict[str, Any]:
        """The results of `learn` as JSON values. They are saved with a trained model. By default, an empty dict."""
        return {}

    def restore(self, learned: dict[str, Any]) -> None:
        """Restore the results of `learned`. By default, nothing."""

    def check_learned(self, learned: dict[str, Any]) -> None:
        """Check the content of a file before `restore`. By default, nothing.

        Raises:
            ValueError: the content is not a possible result of `learned`, or does not fit the arguments of these data.
        """
        return

    def upgraded(self, learned: dict[str, Any]) -> dict[str, Any]:
        """Convert the content of a file that an earlier version of this class wrote. By default, unchanged."""
        return learned

    @abstractmethod
    def length(self, example: Example) -> int:
        """The number of time steps of an example."""

    @abstractmethod
    def collate(self, examples: Sequence[Example]) -> SequenceBatch:
        """Collate examples into a batch. The target of an example without one is `IGNORED` or NaN."""

    @property
    @abstractmethod
    def model_kwargs(self) -> dict[str, Any]:
        """Arguments of the model's constructor that depend on the data. Available after `setup`."""

    @property
    def task_kwargs(self) -> dict[str, Any]:
        """Arguments of the task's constructor that depend on the data. Available after `setup`."""
        return {}

    def suggestions(self) -> dict[str, Any]:
        """Values for settings that the user leaves open, by their full keys. Available after `setup`.

        `rnnkit train` uses a value if the key is null in the configuration. By default, there are none.
        """
        return {}

    def read_inputs(self, path: Path | None) -> Iterator[Example]:
        """Yield examples without targets as they arrive.

        Args:
            path: a file; None reads standard input.

        Raises:
            UserError: by default, because these data do not support prediction.
        """
        raise self._not_for_prediction("read_inputs")

    def rows(self, example: Example, prediction: Any) -> Iterable[dict[str, Any]]:
        """The rows of one prediction for CSV or JSON lines, each from column to value.

        Raises:
            UserError: by default, because these data do not support prediction.
        """
        raise self._not_for_prediction("rows")

    def _not_for_prediction(self, method: str) -> UserError:
        name = type(self).__name__
        return UserError(
            "data",
            "data that can be predicted on",
            f"{name}, which does not implement {method}",
            fix=f"rnnkit evaluate, or a method {name}.{method}",
        )

    def writer(self, sink: TextIO, format_: str) -> Write:
        """A function that writes predictions to `sink`.

        Raises:
            UserError: these data cannot be written in this format.
        """
        return row_writer(sink, format_, self.rows)

    def setup(self, stage: str | None = None) -> None:
        """Read the splits once. Learn from the training split, unless `load` restored a trained model."""
        if self.splits:
            return
        splits = {name: list(examples) for name, examples in self.read().items()}
        self.splits = dict(splits)
        for name, examples in splits.items():
            if not examples:
                raise UserError(f"{name} split", "at least one sequence", "none", fix=f"data.{name}=another file")
        if not self._is_restored:
            self.learn(splits["train"])

    def save(self, folder: Path) -> None:
        """Write the results of `learned` to `data.json` in `folder`."""
        with replacing(folder / "data.json") as part:
            part.write_text(json.dumps(self.learned(), ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote.

        Raises:
            UserError: the file is missing or damaged.
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
        """Batches of the training split in random order. The order is fixed if the trainer overfits a few batches."""
        overfits = getattr(self.trainer, "overfit_batches", 0) > 0
        batches = self.batches("train", self.batch_size, shuffle=not overfits)
        if self._position is not None:
            batches.load_state_dict(self._position)
            self._position = None
        self._training = batches
        return batches

    def val_dataloader(self) -> Batches:
        """Batches of the validation split."""
        return self.loader("valid")

    def test_dataloader(self) -> Batches:
        """Batches of the test split."""
        return self.loader("test")

    def loader(self, split: str) -> Batches:
        """Batches of any split for evaluation.

        Raises:
            UserError: there is no such split.
        """
        return self.batches(split, self.eval_batch_size)

    def counts(self, split: str) -> dict[str, int]:
        """The number of items that an evaluation of a split covers, by their name."""
        return {"sequences": len(self.splits[split])}

    def batches(self, split: str, batch_size: int, *, shuffle: bool = False) -> Batches:
        """Batches of a split.

        Raises:
            UserError: there is no such split.
        """
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
        # Lightning also stores the state of loaders, but loses it if a schedule asked for the number of steps
        if self._training is None:
            return {}
        return {"position": self._training.state_dict(self.trainer.num_training_batches if self.trainer else None)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Start the next training batches at the position of `state_dict`."""
        self._position = state["position"]
