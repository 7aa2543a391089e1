"""Classes."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rnnkit.batch import IGNORED
from rnnkit.data.labelled.labelled import Labelled
from rnnkit.data.labelled.targets import Targets, short
from rnnkit.errors import UserError


class Labels(Targets):
    """Classes by name.

    Their order is that of `relabel`, then that of the numbers which the names are, or of the alphabet.

    * `relabel`: from labels of the files to names of classes; a label that is not in it is its own name.
    * `relabel_test`: the same for the test split, where its labels are written otherwise; None takes `relabel`.
    """

    task = "classification"

    def __init__(self, relabel: Mapping[Any, Any] | None = None, relabel_test: Mapping[Any, Any] | None = None) -> None:
        self._relabel = {str(label): str(name) for label, name in (relabel or {}).items()}
        self._relabel_test = {str(label): str(name) for label, name in (relabel_test or self._relabel).items()}
        self.names: list[str] = []
        self.counts: list[int] = []

    def read(self, example: Labelled, split: str) -> str:
        label = "" if example.target is None else str(example.target).strip()
        if not label:
            raise UserError(
                "label", "one for every sequence", f"none at {example.place}", fix="a file with every label"
            )
        return (self._relabel_test if split == "test" else self._relabel).get(label, label)

    def stratum(self, target: str) -> str:
        return target

    def learn(self, train: Sequence[Labelled]) -> None:
        counts = Counter(example.target for example in train)
        if len(counts) < 2:
            got = f"only {next(iter(counts))!r} in {len(train):,} training sequences"
            raise UserError("data", "two classes or more", got, fix="another data.target_column, or target_pattern")
        first = [name for name in dict.fromkeys(self._relabel.values()) if name in counts]
        self.names = [*first, *sorted(counts.keys() - set(first), key=_as_numbers)]
        self.counts = [counts[name] for name in self.names]

    def learnt(self) -> dict[str, Any]:
        return {"classes": self.names, "counts": self.counts}

    def restore(self, learnt: Mapping[str, Any]) -> None:
        self.names, self.counts = list(learnt["classes"]), list(learnt["counts"])

    def encode(self, example: Labelled, split: str) -> int:
        if example.target in self.names:
            return self.names.index(example.target)
        argument = "relabel_test" if split == "test" and self._relabel_test != self._relabel else "relabel"
        near = difflib.get_close_matches(example.target, self.names, n=1, cutoff=0.0)[0]
        names = ", ".join(self.names[:20]) + (", ..." if len(self.names) > 20 else "")
        raise UserError(
            f"{split} split",
            f"labels that training knows: {names}",
            f"{example.target!r} at {example.place}",
            fix=f'"data.{argument}={{{example.target}: {near}}}"',
        )

    def batch(self, targets: Sequence[Any], lengths: Sequence[int]) -> Tensor:
        return torch.tensor([IGNORED if target is None else target for target in targets])

    @property
    def outputs(self) -> int:
        return len(self.names)

    @property
    def facts(self) -> dict[str, Any]:
        return {"classes": self.names, "counts": self.counts}

    def rows(self, example: Labelled, prediction: Mapping[str, Any]) -> list[dict[str, Any]]:
        shares = zip(self.names, prediction["probabilities"], strict=True)
        return [
            {
                "id": example.id,
                "label": self.names[prediction["label"]],
                **{f"p_{name}": short(share) for name, share in shares},
            }
        ]


def _as_numbers(name: str) -> tuple[bool, float, str]:
    """Sorts "2" before "10", and what is no number behind all numbers."""
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name
