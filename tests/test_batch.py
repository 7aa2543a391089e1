"""A batch goes to a device whole, whatever its inputs are made of."""

import torch
from lightning.fabric.utilities.apply_func import move_data_to_device

from rnnkit.batch import ForecastInputs, SequenceBatch

META = torch.device("meta")  # stands in for a GPU


def test_every_tensor_moves_and_nothing_else_changes() -> None:
    inputs = ForecastInputs.of(torch.rand(2, 5, 1), horizon=3)
    batch = SequenceBatch(inputs, torch.rand(2, 3, 1), torch.tensor([5, 4]), valid=9)
    moved = batch.to(META)
    assert type(moved.inputs) is ForecastInputs
    assert all(part.device == META for part in (*moved.inputs, moved.targets, moved.lengths))
    assert [part.shape for part in moved.inputs] == [part.shape for part in inputs]
    assert (moved.reset, moved.valid, moved.shape, moved.tokens) == (None, 9, (2, 5), 9)


def test_lightning_moves_it_so() -> None:
    batch = SequenceBatch(torch.rand(2, 5, 1), torch.tensor([0, 1]), None)
    assert move_data_to_device(batch, torch.device("cpu")) is batch
    assert move_data_to_device(batch, META).inputs.device == META
