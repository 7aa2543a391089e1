"""Division of examples into splits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.groups import divide
from rnnkit.data.loading.split import FractionSplit
from rnnkit.errors import UserError


@dataclass(frozen=True)
class ExampleSplit(FractionSplit):
    """The parts of labeled sequences for validation and test. Sequences of a group are in the same split.

    Args:
        valid_fraction: the fraction of the sequences of `path` (or of `train`, without `valid`) for validation.
        test_fraction: the fraction of the sequences of `path` for test; 0 makes no test split.
        valid_groups: the groups of the validation split, instead of the fraction.
        test_groups: the groups of the test split, instead of the fraction.

    Raises:
        UserError: a fraction is out of range, or nothing is left for training.
    """

    valid_groups: Sequence[Any] | None = None
    test_groups: Sequence[Any] | None = None


class Division:
    """Division of examples into splits by rules of the user, and by fractions for all other examples."""

    def __init__(self, split: ExampleSplit) -> None:
        self._fractions = {"valid": split.valid_fraction, "test": split.test_fraction}
        self._groups = {
            "valid": [str(group) for group in split.valid_groups or ()],
            "test": [str(group) for group in split.test_groups or ()],
        }

    def rule(self, example: Labeled) -> str | None:
        """The split to which the user assigned the group of an example, or None."""
        return next((split for split, groups in self._groups.items() if example.group in groups), None)

    def __call__(
        self,
        examples: Sequence[Labeled],
        strata: Sequence[str],
        rule: Callable[[Labeled], str | None],
        *,
        with_test: bool,
    ) -> dict[str, list[Labeled]]:
        """Divide examples into "train", "valid" and, if requested, "test".

        Args:
            examples: the examples.
            strata: the stratum of each example.
            rule: a function that returns the split of an example, or None.
            with_test: whether a test split is allowed.

        Raises:
            UserError: a group has no examples, or a split is empty.
        """
        self._check_groups(examples)
        ruled = [rule(example) for example in examples]
        held = {name: [i for i, split in enumerate(ruled) if split == name] for name in self._fractions}
        if held["test"] and not with_test:
            fix = "data.path=the files instead of data.train"
            raise UserError("data.train", "no sequences that a rule assigns to the test split", "some", fix=fix)
        rest = [i for i, split in enumerate(ruled) if split is None]
        wanted = {"valid": self._fractions["valid"], "test": self._fractions["test"] if with_test else 0.0}
        fractions = [0.0 if held[name] else fraction for name, fraction in wanted.items()]
        assigned = divide([strata[i] for i in rest], [examples[i].group for i in rest], *fractions)
        numbers = {name: sorted([rest[i] for i in assigned[name]] + held.get(name, [])) for name in assigned}
        return {
            name: [examples[i] for i in indices]
            for name, indices in numbers.items()
            if name != "test" or indices  # no test split is requested
        }

    def _check_groups(self, examples: Sequence[Labeled]) -> None:
        there = {example.group for example in examples}
        for split, groups in self._groups.items():
            for group in groups:
                if group not in there:
                    names = ", ".join(sorted(map(str, there - {None}))[:20]) or "no groups"
                    fix = f"data.split.{split}_groups=[...] of these"
                    raise UserError(f"data.split.{split}_groups", f"some of {names}", repr(group), fix=fix)
