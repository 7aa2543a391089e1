"""What classification and regression of text, series and recordings share: splits, targets, rows."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict

import torch

from rnnkit.batch import SequenceBatch
from rnnkit.data.catalog.origin import Origin, check_parts
from rnnkit.data.io.findings import Findings
from rnnkit.data.io.sources import Paths
from rnnkit.data.labeled.division import Division
from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.groups import check_apart
from rnnkit.data.labeled.labels import Labels
from rnnkit.data.labeled.look import look_at_ids
from rnnkit.data.labeled.quantities import Numbers
from rnnkit.data.labeled.targets import Targets
from rnnkit.data.loading.batches import padded
from rnnkit.data.loading.sequences import SequenceData
from rnnkit.errors import UserError
from rnnkit.notices import counted, notice
from rnnkit.ranges import Fraction, Level, NonNegativeInt, PositiveInt, Seed
from rnnkit.structure import check


class Learned(TypedDict):
    """What a file holds."""

    inputs: dict[str, Any]
    targets: dict[str, Any]


class LabeledData(SequenceData[Labeled]):
    """Sequences, each with a class, a number, or a number at every step.

    What is read, the first of these that is given:

    * `path`: files, folders, globs or a list of these, divided into splits;
    * `train`, and if wanted `valid` and `test`: the same kinds of path, each a split. Without `valid` a part of the
      training sequences validates;
    * `dataset`: a name of `rnnkit data list`.

    Division is stratified by class. Where the files say groups (persons, machines), a group is never in two splits:
    which are in validation and test is said by `valid_groups` and `test_groups` or by the fractions. The division is
    the same for every seed.

    Sequences in which nothing is (`is_empty`) are left out, and answered with nothing in prediction. This, and whatever
    else is left out or assumed, is counted and printed.

    A kind of data says how files are read (`read_files`) and, beside what `SequenceData` wants, how inputs are encoded
    (`learn_inputs`, `encode_inputs`). One that needs no files makes its splits in `own_splits`. What the readers notice
    goes to `notes`.

    Args:
        dataset, path, train, valid, test: see above.
        target: label, number or curve (a number at every step).
        relabel, relabel_test: see `rnnkit.data.labeled.labels.Labels`.
        valid_fraction: of the sequences of `path` or, without `valid`, of `train`.
        test_fraction: of the sequences of `path`; 0 makes no test split.
        valid_groups, test_groups: whole groups for validation and test, in place of the fractions.
        batch_size, eval_batch_size, seed, workers: see `SequenceData`.

    Raises:
        UserError: for fractions that leave nothing to train or validate on, an unknown kind of target and, in `setup`,
            for files that cannot be read and splits that share a group.
    """

    kinds: Mapping[str, type[Numbers]] = {"number": Numbers}
    """The kinds of target beside labels."""

    def __init__(
        self,
        *,
        dataset: str | None = None,
        path: Paths | None = None,
        train: Paths | None = None,
        valid: Paths | None = None,
        test: Paths | None = None,
        target: Literal["label", "number", "curve"] = "label",
        relabel: Mapping[Any, Any] | None = None,
        relabel_test: Mapping[Any, Any] | None = None,
        valid_fraction: Level = 0.1,
        test_fraction: Fraction = 0.1,
        valid_groups: Sequence[Any] | None = None,
        test_groups: Sequence[Any] | None = None,
        batch_size: PositiveInt = 32,
        eval_batch_size: PositiveInt = 128,
        seed: Seed = 1,
        workers: NonNegativeInt = 0,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, seed, workers)
        self.division = Division(valid_fraction, test_fraction, valid_groups, test_groups)
        if target != "label" and target not in self.kinds:
            kinds = " or ".join(["label", *self.kinds])
            raise UserError("data.target", f"{kinds} for {type(self).__name__}", repr(target), fix="data.target=label")
        self.origin = Origin.of(dataset, path, train, valid, test)
        self.target = target
        self.targets: Targets = Labels(relabel, relabel_test) if target == "label" else self.kinds[target]()
        self.task = self.targets.task
        self.notes = Findings()
        self._inputs: dict[str, Any] = {}

    @abstractmethod
    def read_files(self, part: str, paths: Paths, argument: str) -> list[Labeled]:
        """The examples of some files, their targets as the files say; UserError, naming `argument`, if they cannot.

        `part` is "path" or the name of the split that the files are.
        """

    @abstractmethod
    def learn_inputs(self, train: Sequence[Labeled]) -> dict[str, Any]:
        """Takes from the training examples what `encode_inputs` needs; returns it as plain JSON values."""

    @abstractmethod
    def restore_inputs(self, learned: Mapping[str, Any]) -> None:
        """Takes back what `learn_inputs` gave."""

    @abstractmethod
    def encode_inputs(self, example: Labeled) -> torch.Tensor:
        """The inputs of an example as a tensor [T] or [T, I]; UserError where training makes no sense of them."""

    @abstractmethod
    def is_empty(self, example: Labeled) -> bool:
        """Whether there is nothing in the inputs of an example as it was read: no word, no value."""

    def ready(self, example: Labeled) -> Labeled:
        """An example to predict, its inputs encoded; those of an empty one have no steps."""
        if self.is_empty(example):
            self.notes.add("empty sequences, answered with nothing", example.place)
            return example._replace(inputs=torch.empty(0))
        return example._replace(inputs=self.encode_inputs(example))

    def own_splits(self) -> Mapping[str, list[Labeled]]:
        """The splits where no file is named; UserError where there are none."""
        raise UserError("data.path", "files to read", "nothing", fix="data.path=my_file.csv")

    def ruled(self, example: Labeled) -> str | None:
        """The split that a rule of the user's puts an example of `path` into, or None."""
        return self.division.rule(example)

    def read(self) -> dict[str, list[Labeled]]:
        parts = self.origin.found()
        if parts:
            check_parts(parts, trained=self._is_restored)
            read = {name: self.read_files(name, *where) for name, where in parts.items() if name in _PARTS}
        else:
            read = dict(self.own_splits())
        read = {name: self._with_something_in(examples) for name, examples in read.items()}
        self.notes.print()
        for name, examples in read.items():
            if not examples:
                raise UserError(f"data.{name}", "one sequence at least", "none", fix=f"data.{name}=another file")
        splits = {name: self.targets.read_all(examples, name) for name, examples in read.items()}
        for undivided in ("path", "train"):
            if undivided in splits and (undivided == "path" or "valid" not in splits):
                examples = splits.pop(undivided)
                strata = [self.targets.stratum(example.target) for example in examples]
                splits = {**self.division(examples, strata, self.ruled, with_test=undivided == "path"), **splits}
        check_apart({name: [example.group for example in examples] for name, examples in splits.items()})
        return splits

    def setup(self, stage: str | None = None) -> None:
        """Read the splits and encode them, once; learn from the training split unless `restore` came before."""
        if self.splits:
            return
        super().setup(stage)
        for name, examples in self.splits.items():
            look_at_ids(name, examples)
        self.targets.look(self.splits)
        self.splits = {
            name: [
                example._replace(
                    inputs=self.encode_inputs(example),
                    target=None if example.target is None else self.targets.encode(example, name),
                )
                for example in examples
            ]
            for name, examples in self.splits.items()
        }
        for name, examples in self.splits.items():
            steps = sum(map(self.length, examples))
            notice(f"{name}: {counted(len(examples), 'sequence')}, {counted(steps, 'step')}")
        self.notes.print()

    def _with_something_in(self, examples: list[Labeled]) -> list[Labeled]:
        empty = [self.is_empty(example) for example in examples]
        for example, is_empty in zip(examples, empty, strict=True):
            if is_empty:
                self.notes.add("empty sequences, left out", example.place)
        return [example for example, is_empty in zip(examples, empty, strict=True) if not is_empty]

    def learn(self, train: list[Labeled]) -> None:
        self.targets.learn(train)
        self._inputs = self.learn_inputs(train)

    def learned(self) -> dict[str, Any]:
        return {"inputs": self._inputs, "targets": self.targets.learned()}

    def check_inputs(self, learned: dict[str, Any]) -> None:
        """As `check_learned`, of what `learn_inputs` returned; nothing is known of data of one's own."""
        return

    def check_learned(self, learned: dict[str, Any]) -> None:
        check(learned, Learned)
        self.check_inputs(learned["inputs"])
        self.targets.check_learned(learned["targets"])

    def restore(self, learned: dict[str, Any]) -> None:
        self._inputs = learned["inputs"]
        self.restore_inputs(self._inputs)
        self.targets.restore(learned["targets"])

    def length(self, example: Labeled) -> int:
        return len(example.inputs)

    def collate(self, examples: Sequence[Labeled]) -> SequenceBatch:
        lengths = [len(example.inputs) for example in examples]
        inputs = padded([example.inputs for example in examples])
        targets = self.targets.batch([example.target for example in examples], lengths)
        return SequenceBatch.of(_ids_as_long(inputs), targets, lengths)

    @property
    def task_kwargs(self) -> dict[str, Any]:
        return self.targets.task_kwargs

    def rows(self, example: Labeled, prediction: Any) -> Iterable[dict[str, Any]]:
        return self.targets.rows(example, prediction)


_PARTS = ("path", "train", "valid", "test")


def _ids_as_long(inputs: torch.Tensor) -> torch.Tensor:
    # ids wait as int32, half the memory
    return inputs.long() if inputs.dtype == torch.int32 else inputs
