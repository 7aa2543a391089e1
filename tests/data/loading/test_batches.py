"""Every sequence once an epoch, whatever the lengths, the batch size, the processes and the place where one stops."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnkit.data import Batches, padded
from rnnkit.errors import UserError

cases = st.tuples(
    st.lists(st.integers(0, 30), min_size=3, max_size=60),
    st.integers(1, 5),  # sequences of a batch for each process
    st.integers(1, 3),  # processes
    st.integers(0, 5),  # seed
    st.booleans(),  # shuffle
)


def made(case: tuple[Any, ...], rank: int = 0) -> Batches:
    lengths, share, world_size, seed, shuffle = case
    return Batches(
        lengths,
        lambda indices: indices,  # type: ignore[arg-type, return-value]
        share * world_size,
        shuffle=shuffle,
        seed=seed,
        rank=rank,
        world_size=world_size,
    )


@given(cases)
@settings(deadline=None)
def test_every_sequence_is_in_one_batch_of_one_process(case: tuple[Any, ...]) -> None:
    ranks = [made(case, rank) for rank in range(case[2])]
    for _ in range(2):  # two epochs
        batches = [list(batches) for batches in ranks]
        assert {len(found) for found in batches} == {len(ranks[0])}
        assert all(len(batch) > 0 for found in batches for batch in found)  # no process waits in vain for another
        dealt = [index for found in batches for batch in found for index in batch]  # type: ignore[attr-defined]
        assert sorted(dealt) == list(range(len(case[0])))


@given(cases, st.integers(0, 100))
@settings(deadline=None)
def test_an_epoch_goes_on_where_it_was_left(case: tuple[Any, ...], stop: int) -> None:
    whole = made(case)
    expected = [list(whole), list(whole)]
    interrupted = made(case)
    stop %= len(interrupted) + 1
    begun = [batch for _, batch in zip(range(stop), interrupted, strict=False)]
    resumed = made(case)
    resumed.load_state_dict(interrupted.state_dict())
    rest = [list(resumed), list(resumed)]
    if stop == len(interrupted):  # the end of an epoch is the beginning of the next
        assert rest[0] == expected[1]
    else:
        assert begun + rest[0] == expected[0]
        assert rest[1] == expected[1]


def test_orders_differ_between_epochs_and_between_seeds_and_are_the_same_again() -> None:
    lengths = torch.arange(100).tolist()
    one, again, other = (made((lengths, 4, 1, seed, True)) for seed in (1, 1, 2))
    first, second = list(one), list(one)
    assert first != second
    assert first == list(again)
    assert first != list(other)
    assert second != list(other)


def test_batches_of_like_length_pad_little() -> None:
    torch.manual_seed(1)
    lengths = torch.randint(1, 100, (2000,)).tolist()

    def padding(batches: list[list[int]]) -> float:
        rectangle = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
        return 1 - sum(lengths) / rectangle

    at_random = padding([part.tolist() for part in torch.randperm(2000).split(16)])
    shuffled, sorted_ = (padding(list(made((lengths, 16, 1, 0, shuffle)))) for shuffle in (True, False))  # type: ignore[arg-type]
    assert at_random > 0.4
    assert shuffled < 0.05
    assert sorted_ < 0.02


@pytest.mark.parametrize(
    ("lengths", "batch_size", "world_size", "message"),
    [
        ([], 4, 1, "1 sequences or more"),
        ([3], 4, 2, "2 sequences or more"),
        ([3, 3], 0, 1, "data.batch_size=1"),
        ([3, 3], 3, 2, "data.batch_size=4"),
    ],
)
def test_what_cannot_be_dealt(lengths: list[int], batch_size: int, world_size: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Batches(lengths, lambda indices: indices, batch_size, world_size=world_size)  # type: ignore[arg-type, return-value]


def test_a_position_among_other_batches_is_refused() -> None:
    state = made(([1] * 10, 2, 1, 0, True)).state_dict()
    with pytest.raises(UserError, match=r"data.batch_size=2"):
        made(([1] * 10, 5, 1, 0, True)).load_state_dict(state)
    with pytest.raises(UserError, match="the same data"):
        made(([1] * 11, 2, 1, 0, True)).load_state_dict(state)


def test_padding_has_any_number_of_axes() -> None:
    rows = [torch.ones(2, 3), torch.ones(0, 3), torch.ones(1, 3)]
    out = padded(rows, value=float("nan"))
    assert out.shape == (3, 2, 3)
    assert out.isnan().sum() == 3 * 3
