"""A batch goes to a device whole, whatever its inputs are made of."""

from typing import NamedTuple

import pytest
import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from torch.testing import assert_close

from rnnkit.batch import ForecastInputs, SequenceBatch, TagExtra, TokenInputs
from rnnkit.cells import GRUCell
from rnnkit.errors import UserError
from rnnkit.models import Tagger

META = torch.device("meta")  # stands in for a GPU


def test_every_tensor_moves_and_nothing_else_changes() -> None:
    inputs = ForecastInputs.of(torch.rand(2, 5, 1), horizon=3)
    batch = SequenceBatch(inputs, torch.rand(2, 3, 1), torch.tensor([5, 4]), num_steps=9)
    moved = batch.to(META)
    assert type(moved.inputs) is ForecastInputs
    assert all(part.device == META for part in (*moved.inputs, moved.targets, moved.lengths))
    assert [part.shape for part in moved.inputs] == [part.shape for part in inputs]
    assert (moved.reset, moved.num_steps, moved.shape, moved.num_valid_steps) == (None, 9, (2, 5), 9)


def test_lightning_moves_it_so() -> None:
    batch = SequenceBatch(torch.rand(2, 5, 1), torch.tensor([0, 1]), None)
    assert move_data_to_device(batch, torch.device("cpu")) is batch
    assert move_data_to_device(batch, META).inputs.device == META


class Readings(NamedTuple):
    """A user's own inputs."""

    values: torch.Tensor
    notes: dict[str, torch.Tensor]


class Unit(NamedTuple):
    """A user's own extra."""

    scale: torch.Tensor
    name: str


def own(rows: int = 3) -> SequenceBatch:
    values = torch.arange(rows * 4.0).view(rows, 4, 1)
    return SequenceBatch(
        Readings(values, {"mean": values.mean(1)}),
        torch.arange(rows * 2).view(rows, 2),
        lengths=torch.tensor([4, 3, 1]),
        target_lengths=torch.tensor([2, 1, 2]),
        reset=torch.tensor([True, False, True]),
        num_steps=8,
        extra=Unit(torch.arange(float(rows)), "m"),
    )


def test_types_of_ones_own_move_with_target_lengths_and_extra() -> None:
    moved = own().to(META)
    assert type(moved.inputs) is Readings
    assert type(moved.extra) is Unit
    tensors = [*moved.inputs.notes.values(), moved.inputs.values, moved.target_lengths, moved.reset, moved.extra.scale]
    assert all(tensor.device == META for tensor in tensors)
    assert (moved.extra.name, moved.num_steps) == ("m", 8)


def test_rows_are_taken_from_every_part() -> None:
    batch, rows = own(), torch.tensor([2, 0, 2, 2])
    taken = batch.take(rows)
    assert torch.equal(taken.inputs.values, batch.inputs.values[rows])
    assert torch.equal(taken.inputs.notes["mean"], batch.inputs.notes["mean"][rows])
    assert (taken.lengths.tolist(), taken.target_lengths.tolist()) == ([1, 4, 1, 1], [2, 2, 2, 2])
    assert (taken.reset.tolist(), taken.extra.scale.tolist()) == ([True] * 4, [2.0, 0.0, 2.0, 2.0])
    assert (taken.shape, taken.num_valid_steps, taken.extra.name) == ((4, 4), 7, "m")


def test_a_tensor_without_a_row_for_each_row_is_refused() -> None:
    batch = own()._replace(inputs=Readings(torch.ones(3, 4, 1), {"table": torch.ones(5, 2)}))
    expected = r"tensors of 3 rows, as many as the batch has; got a tensor \[5, 2\]\. Try: a method"
    with pytest.raises(UserError, match=expected):
        batch.take(torch.tensor([0]))


def test_a_sentence_that_is_taken_is_scored_as_it_was() -> None:
    words_BT = torch.tensor([[3, 4, 5], [6, 0, 0]])
    inputs = TokenInputs(words_BT, words_BT, words_BT, torch.randint(1, 20, (7, 4)), torch.full((7,), 4))
    batch = SequenceBatch.of(inputs, words_BT, [3, 1], extra=TagExtra(words_BT % 3))
    model = Tagger(50, 20, ["a", "b"], GRUCell, hidden_size=8).eval()
    taken = batch.take(torch.tensor([1, 0]))
    whole_BTC, part_BTC = (model(one.inputs, lengths=one.lengths) for one in (batch, taken))
    assert_close(part_BTC[0, :1], whole_BTC[1, :1])
    assert_close(part_BTC[1], whole_BTC[0])
    assert taken.extra.most_frequent_tag.tolist() == [[0, 0, 0], [0, 1, 2]]


def test_lengths_that_are_all_alike_need_no_mask() -> None:
    x_BTI = torch.zeros(2, 5, 1)
    full = SequenceBatch.of(x_BTI, torch.zeros(2, 3), [5, 5], [3, 3])
    assert (full.lengths, full.target_lengths, full.num_steps, full.num_valid_steps) == (None, None, None, 10)
    short = SequenceBatch.of(x_BTI, torch.zeros(2, 3), [5, 2], [3, 1])
    assert (short.lengths.tolist(), short.target_lengths.tolist(), short.num_valid_steps) == ([5, 2], [3, 1], 7)  # type: ignore[union-attr]
