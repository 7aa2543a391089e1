"""Division of examples into splits."""

from collections.abc import Callable, Sequence
from typing import Any

from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.groups import divide
from rnnkit.errors import UserError


class Division:
    """Division of examples into splits by rules of the user, and by fractions for all other examples.

    All examples of a group are in the same split.

    Args:
        valid_fraction: the fraction of the remaining examples for validation, if no rule assigns any.
        test_fraction: the fraction of the remaining examples for test, if no rule assigns any.
        valid_groups: the groups of the validation split.
        test_groups: the groups of the test split.

    Raises:
        UserError: the fractions leave nothing for training or validation.
    """

    def __init__(
        self,
        valid_fraction: float,
        test_fraction: float,
        valid_groups: Sequence[Any] | None = None,
        test_groups: Sequence[Any] | None = None,
    ) -> None:
        _check_fractions(valid_fraction, test_fraction)
        self._fractions = {"valid": valid_fraction, "test": test_fraction}
        self._groups = {
            "valid": [str(group) for group in valid_groups or ()],
            "test": [str(group) for group in test_groups or ()],
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
                    fix = f"data.{split}_groups=[...] of these"
                    raise UserError(f"data.{split}_groups", f"some of {names}", repr(group), fix=fix)


def _check_fractions(valid_fraction: float, test_fraction: float) -> None:
    if not 0 < valid_fraction < 1:
        got = f"{valid_fraction}; the best checkpoint cannot be chosen without validation"
        raise UserError("data.valid_fraction", "a number between 0 and 1", got, fix="data.valid_fraction=0.1")
    if not 0 <= test_fraction < 1 - valid_fraction:
        expected = "0, for no test split, or a number that leaves something to train on"
        got = f"{test_fraction} with data.valid_fraction={valid_fraction}"
        raise UserError("data.test_fraction", expected, got, fix="data.test_fraction=0.1")
