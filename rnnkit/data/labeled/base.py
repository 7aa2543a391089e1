"""Base class of data modules for classification and regression."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict

import torch

from rnnkit.batch import SequenceBatch
from rnnkit.data.catalog.origin import Origin, check_parts
from rnnkit.data.io.findings import Findings
from rnnkit.data.io.sources import Paths
from rnnkit.data.labeled.division import Division, ExampleSplit
from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.groups import check_disjoint_groups
from rnnkit.data.labeled.labels import Labels
from rnnkit.data.labeled.look import report_repeated_ids
from rnnkit.data.labeled.quantities import Numbers
from rnnkit.data.labeled.targets import Targets
from rnnkit.data.loading.batches import padded
from rnnkit.data.loading.sequences import SequenceData
from rnnkit.errors import UserError
from rnnkit.nested import nested
from rnnkit.notices import counted, notice
from rnnkit.ranges import NonNegativeInt, PositiveInt, Seed
from rnnkit.structure import check


class Learned(TypedDict):
    """The content of the file with everything that the data learned."""

    inputs: dict[str, Any]
    targets: dict[str, Any]


class LabeledData(SequenceData[Labeled]):
    """Base class of data modules for sequences with a class, a number, or a number at every step.

    The sequences come from `path`, from `train`, or from `dataset`; the first that is given is used.

    Splits are stratified by class. If the files have groups (such as persons or machines), all sequences of a group are
    in the same split. The splits do not depend on the seed.

    Empty sequences (`is_empty`) are skipped; their predictions are empty. Everything that is skipped or assumed is
    counted and printed.

    A subclass implements `read_files`, `learn_inputs`, `restore_inputs`, `encode_inputs` and `is_empty`, and the
    abstract methods of `SequenceData`. A subclass that needs no files implements `own_splits`. Readers report findings
    to `notes`.

    Args:
        dataset: a name of `rnnkit data list`.
        path: a file, a folder, a glob or a list of these, to divide into splits.
        train: the training files, as for `path`.
        valid: the validation files, as for `path`. None takes a part of the training sequences.
        test: the test files, as for `path`; optional.
        target: label, number or curve (a number at every step).
        relabel: see `rnnkit.data.labeled.labels.Labels`.
        relabel_test: see `rnnkit.data.labeled.labels.Labels`.
        split: the parts of `path` for validation and test.
        batch_size: see `SequenceData`.
        eval_batch_size: see `SequenceData`.
        seed: see `SequenceData`.
        workers: see `SequenceData`.

    Raises:
        UserError: the fractions leave nothing for training or validation, or the kind of target is unknown. In `setup`:
            a file cannot be read, or splits share a group.
    """

    kinds: Mapping[str, type[Numbers]] = {"number": Numbers}
    """The kinds of target besides labels."""

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
        split: ExampleSplit | Mapping[str, Any] | None = None,
        batch_size: PositiveInt = 32,
        eval_batch_size: PositiveInt = 128,
        seed: Seed = 1,
        workers: NonNegativeInt = 0,
    ) -> None:
        super().__init__(batch_size, eval_batch_size, seed, workers)
        self.division = Division(nested(ExampleSplit, split, "data.split"))
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
        """Read the examples of files, with targets as they are written.

        Args:
            part: "path" or the name of the split of the files.
            paths: the files.
            argument: the argument that error messages name.

        Raises:
            UserError: the files cannot be read.
        """

    @abstractmethod
    def learn_inputs(self, train: Sequence[Labeled]) -> dict[str, Any]:
        """Compute what `encode_inputs` needs from the training examples, and return it as JSON values."""

    @abstractmethod
    def restore_inputs(self, learned: Mapping[str, Any]) -> None:
        """Restore the results of `learn_inputs`."""

    @abstractmethod
    def encode_inputs(self, example: Labeled) -> torch.Tensor:
        """The inputs of an example as a tensor [T] or [T, I].

        Raises:
            UserError: the inputs do not fit those of training.
        """

    @abstractmethod
    def is_empty(self, example: Labeled) -> bool:
        """Whether the inputs of an example have no words or values."""

    def ready(self, example: Labeled) -> Labeled:
        """Encode the inputs of an example for prediction. An empty example has no steps."""
        if self.is_empty(example):
            self.notes.add("empty sequences, whose predictions are empty", example.place)
            return example._replace(inputs=torch.empty(0))
        return example._replace(inputs=self.encode_inputs(example))

    def own_splits(self) -> Mapping[str, list[Labeled]]:
        """The splits if no file is named.

        Raises:
            UserError: by default, because there are none.
        """
        raise UserError("data.path", "files to read", "nothing", fix="data.path=my_file.csv")

    def ruled(self, example: Labeled) -> str | None:
        """The split of an example of `path` by a rule of the user, or None."""
        return self.division.rule(example)

    def read(self) -> dict[str, list[Labeled]]:
        parts = self.origin.found()
        if parts:
            check_parts(parts, trained=self._is_restored)
            read = {name: self.read_files(name, *where) for name, where in parts.items() if name in _PARTS}
        else:
            read = dict(self.own_splits())
        read = {name: self._without_empty(examples) for name, examples in read.items()}
        self.notes.print()
        for name, examples in read.items():
            if not examples:
                raise UserError(f"data.{name}", "at least one sequence", "none", fix=f"data.{name}=another file")
        splits = {name: self.targets.read_all(examples, name) for name, examples in read.items()}
        for undivided in ("path", "train"):
            if undivided in splits and (undivided == "path" or "valid" not in splits):
                examples = splits.pop(undivided)
                strata = [self.targets.stratum(example.target) for example in examples]
                splits = {**self.division(examples, strata, self.ruled, with_test=undivided == "path"), **splits}
        check_disjoint_groups({name: [example.group for example in examples] for name, examples in splits.items()})
        return splits

    def setup(self, stage: str | None = None) -> None:
        """Read and encode the splits once. Learn from the training split, unless `load` restored a trained model."""
        if self.splits:
            return
        super().setup(stage)
        for name, examples in self.splits.items():
            report_repeated_ids(name, examples)
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

    def _without_empty(self, examples: list[Labeled]) -> list[Labeled]:
        empty = [self.is_empty(example) for example in examples]
        for example, is_empty in zip(examples, empty, strict=True):
            if is_empty:
                self.notes.add("empty sequences, skipped", example.place)
        return [example for example, is_empty in zip(examples, empty, strict=True) if not is_empty]

    def learn(self, train: list[Labeled]) -> None:
        self.targets.learn(train)
        self._inputs = self.learn_inputs(train)

    def learned(self) -> dict[str, Any]:
        return {"inputs": self._inputs, "targets": self.targets.learned()}

    def check_inputs(self, learned: dict[str, Any]) -> None:
        """Check the results of `learn_inputs` in a file, as `check_learned` does. By default, nothing."""
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
    # ids are stored as int32 to save memory
    return inputs.long() if inputs.dtype == torch.int32 else inputs
