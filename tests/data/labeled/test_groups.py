"""Division by class and by group."""

import itertools
import random

import pytest

from rnnkit.data.labeled.groups import check_disjoint_groups, divide
from rnnkit.errors import UserError


@pytest.mark.parametrize("seed", range(20))
def test_every_example_is_dealt_once_and_no_group_is_torn(seed: int) -> None:
    chance = random.Random(seed)
    number = chance.randint(20, 200)
    groups = [f"g{chance.randrange(8)}" if seed % 2 else None for _ in range(number)]
    strata = [chance.choice("abc") for _ in range(number)]
    dealt = divide(strata, groups, valid_fraction=0.2, test_fraction=0.2)
    assert sorted(itertools.chain(*dealt.values())) == list(range(number))
    assert all(dealt.values())
    homes = {name: {groups[i] for i in indices} - {None} for name, indices in dealt.items()}
    assert not homes["train"] & homes["valid"]
    assert not homes["train"] & homes["test"]
    assert not homes["valid"] & homes["test"]


def test_without_groups_every_class_gives_its_share() -> None:
    strata = ["rare"] * 10 + ["common"] * 90
    dealt = divide(strata, [None] * 100, valid_fraction=0.2, test_fraction=0.1)
    counts = {
        name: [sum(strata[i] == of for i in indices) for of in ("rare", "common")] for name, indices in dealt.items()
    }
    assert counts == {"train": [7, 63], "valid": [2, 18], "test": [1, 9]}


def test_groups_of_one_class_each_are_dealt_out_class_by_class() -> None:
    """As functions are, whose file is of one package."""
    groups = [f"{of}{n % 5}" for of in "ab" for n in range(50)]
    strata = [group[0] for group in groups]
    dealt = divide(strata, groups, valid_fraction=0.2, test_fraction=0.2)
    for indices, share in zip(dealt.values(), (3, 1, 1), strict=True):
        assert [len({groups[i] for i in indices if strata[i] == of}) for of in "ab"] == [share, share]


def test_a_class_with_few_examples_trains_first_and_validates_second() -> None:
    dealt = divide(["one", "two", "two", *["many"] * 20], [None] * 23, valid_fraction=0.1, test_fraction=0.1)
    assert 0 in dealt["train"]
    assert sorted(len({1, 2} & {*dealt[name]}) for name in ("train", "valid")) == [1, 1]
    assert not {1, 2} & {*dealt["test"]}


def test_the_share_of_a_split_is_the_nearest_that_whole_groups_allow() -> None:
    """Against all choices of groups in the order of their hashes."""
    sizes = [7, 5, 9, 4, 6, 8]
    groups = [f"g{g}" for g, size in enumerate(sizes) for _ in range(size)]
    dealt = divide([""] * len(groups), groups, valid_fraction=0.3, test_fraction=0)
    order = list(dict.fromkeys(groups))
    valid = {groups[i] for i in dealt["valid"]}
    goal = 0.3 * len(groups)
    missed = abs(len(dealt["valid"]) - goal)
    for group in order:  # one group more or fewer, where that is allowed, does not come nearer by more than a tie
        size = sizes[int(group[1])]
        if group in valid and len(valid) > 1:
            assert abs(len(dealt["valid"]) - size - goal) >= missed - max(sizes) / 2
    assert missed <= max(sizes) / 2


def test_the_division_depends_on_nothing_but_the_examples() -> None:
    first = divide(["a", "b"] * 50, [None] * 100, 0.1, 0.1)
    random.seed(5)
    assert first == divide(["a", "b"] * 50, [None] * 100, 0.1, 0.1)
    more = divide(["a", "b"] * 50 + ["c"] * 10, [None] * 110, 0.1, 0.1)
    assert {*first["test"]} == {i for i in more["test"] if i < 100}  # a further class moves no other


def test_one_group_cannot_be_divided() -> None:
    with pytest.raises(
        UserError, match=r"data.split.valid_fraction: expected a valid split; got none of 4 sequences in 1 groups"
    ):
        divide(["a"] * 4, ["me"] * 4, 0.5, 0)


def test_a_group_in_two_splits_is_refused() -> None:
    check_disjoint_groups({"train": ["a", "b", None], "test": ["c", None]})
    with pytest.raises(UserError, match=r"groups: expected each in only one split.*got 'b' in train and test"):
        check_disjoint_groups({"train": ["a", "b"], "test": ["c", "b"]})
