"""Targets that are classes."""

import difflib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict

import torch
from annotated_types import MinLen
from torch import Tensor

from rnnkit.batch import IGNORED
from rnnkit.data.io.findings import Findings
from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.look import relabeling, report_classes
from rnnkit.data.labeled.targets import Targets, short
from rnnkit.errors import UserError
from rnnkit.notices import listed, notice
from rnnkit.predictions import ClassPrediction
from rnnkit.ranges import PositiveInt
from rnnkit.structure import check


class LearnedClasses(TypedDict):
    """The names of the classes, and their counts in training."""

    classes: Annotated[list[str], MinLen(2)]
    counts: list[PositiveInt]


class Labels(Targets):
    """Targets that are classes with names.

    Classes are sorted by their order in `relabel`, then numerically or alphabetically.

    Args:
        relabel: the class name of each label of the files. Other labels are their own names.
        relabel_test: the same for the test split, if it has other labels; None uses `relabel`.
    """

    task = "classification"

    def __init__(self, relabel: Mapping[Any, Any] | None = None, relabel_test: Mapping[Any, Any] | None = None) -> None:
        self._relabel = {str(label): str(name) for label, name in (relabel or {}).items()}
        self._relabel_test = {str(label): str(name) for label, name in (relabel_test or self._relabel).items()}
        self.names: list[str] = []
        self.counts: list[int] = []
        self._number: dict[str, int] = {}

    def read(self, example: Labeled, split: str) -> str:
        label = example.target
        if isinstance(label, bytes):
            label = label.decode("utf-8", "surrogateescape")
        if label is None or (isinstance(label, float) and math.isnan(label)) or not str(label).strip():
            fix = "labels for them, or a file without these sequences"
            raise UserError("label", "one for every sequence", f"none at {example.place}", fix=fix)
        if not isinstance(label, str | int | float | bool):
            got = f"{' '.join(repr(label).split())[:60]} at {example.place}"
            raise UserError("label", "text or a number for every sequence", got, fix="another data.target_column")
        label = str(label).strip()
        return (self._relabel_test if split == "test" else self._relabel).get(label, label)

    def stratum(self, target: str) -> str:
        return target

    def _check(self, split: str, examples: Sequence[Labeled]) -> None:
        known = set(self.names)
        unknown = [example for example in examples if example.target not in known and example.target is not None]
        if not unknown:
            return
        faults = Findings()
        for example in unknown:
            faults.add(repr(example.target), f"at {example.place}")
        names = ", ".join(self.names[:20]) + (", ..." if len(self.names) > 20 else "")
        first = f"{unknown[0].target!r} at {unknown[0].place}"
        got = first if len(unknown) == 1 else f"{first}; in all {'; '.join(faults.lines())}"
        expected = f"labels of the training split: {names}"
        raise UserError(
            f"{split} split",
            expected,
            got,
            fix=self._repair(split, list(dict.fromkeys(example.target for example in unknown))),
        )

    def look(self, splits: Mapping[str, Sequence[Labeled]]) -> None:
        """Print the classes of each split with their counts.

        Raises:
            UserError: there are labels that are not in the training split.
        """
        for name, examples in splits.items():
            self._check(name, examples)
        if "train" in splits:
            counts = {name: Counter(example.target for example in examples) for name, examples in splits.items()}
            report_classes({**counts, "train": dict(zip(self.names, self.counts, strict=True))})
            there = {str(example.target) for examples in splits.values() for example in examples}
            unused = [label for label, name in self._relabel.items() if name not in there]
            if unused:
                notice(f"data.relabel: no sequence has the label {listed(unused)}")

    def learn(self, train: Sequence[Labeled]) -> None:
        counts = Counter(example.target for example in train)
        if len(counts) < 2:
            got = f"only {next(iter(counts))!r} in {len(train):,} training sequences"
            raise UserError("data", "two classes or more", got, fix="another data.target_column, or target_pattern")
        first = [name for name in dict.fromkeys(self._relabel.values()) if name in counts]
        self.names = [*first, *sorted(counts.keys() - set(first), key=_as_numbers)]
        self.counts = [counts[name] for name in self.names]
        self._number = {name: number for number, name in enumerate(self.names)}

    def learned(self) -> dict[str, Any]:
        return {"classes": self.names, "counts": self.counts}

    def check_learned(self, learned: dict[str, Any]) -> None:
        check(learned, LearnedClasses, "targets")
        names = learned["classes"]
        if len(set(names)) < len(names) or len(names) != len(learned["counts"]):
            raise ValueError("targets.classes has a repeated name, or not a count for each name")

    def restore(self, learned: Mapping[str, Any]) -> None:
        self.names, self.counts = list(learned["classes"]), list(learned["counts"])
        self._number = {name: number for number, name in enumerate(self.names)}

    def encode(self, example: Labeled, split: str) -> int:
        return self._number[example.target]

    def _repair(self, split: str, unknown: Sequence[str]) -> str:
        """The argument to use if unknown labels are other spellings of known ones."""
        argument = "relabel_test" if split == "test" and self._relabel_test != self._relabel else "relabel"
        by_case = {name.casefold(): name for name in self.names}
        found = {}
        for label in unknown:
            near = by_case.get(label.casefold()) or next(
                iter(difflib.get_close_matches(label, self.names, n=1, cutoff=0.55)), None
            )
            if near is not None:
                found[label] = near
        typed = relabeling(f"data.{argument}", found) if len(found) == len(unknown) else ""
        return typed or f"sequences of {listed(list(unknown))} in training, or none in the {split} split"

    def batch(self, targets: Sequence[Any], lengths: Sequence[int]) -> Tensor:
        return torch.tensor([IGNORED if target is None else target for target in targets])

    @property
    def outputs(self) -> int:
        return len(self.names)

    @property
    def task_kwargs(self) -> dict[str, Any]:
        return {"classes": self.names, "counts": self.counts}

    def rows(self, example: Labeled, prediction: ClassPrediction | None) -> list[dict[str, Any]]:
        if prediction is None:
            return [{"id": example.id, "label": None, **{f"p_{name}": None for name in self.names}}]
        shares = zip(self.names, prediction.probabilities, strict=True)
        return [
            {
                "id": example.id,
                "label": self.names[prediction.label],
                **{f"p_{name}": short(share) for name, share in shares},
            }
        ]


def _as_numbers(name: str) -> tuple[bool, float, str]:
    """Sort key that puts "2" before "10", and names that are not numbers after all numbers."""
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name
