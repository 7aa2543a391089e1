"""A data module of one's own: five methods make it trainable, and prediction is refused in one message."""

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch

from rnnkit.batch import SequenceBatch
from rnnkit.data import SequenceData, padded
from rnnkit.errors import UserError


class Sums(SequenceData[list[float]]):
    """Series of numbers with their sums as targets."""

    task = "regression"

    def read(self) -> Mapping[str, Sequence[list[float]]]:
        series = [[float(n)] * (n % 5 + 1) for n in range(40)]
        return {"train": series, "valid": series[:8]}

    def length(self, example: list[float]) -> int:
        return len(example)

    def collate(self, examples: Sequence[list[float]]) -> SequenceBatch:
        inputs_BTI = padded([torch.tensor(example)[:, None] for example in examples])
        targets_B = torch.tensor([sum(example) for example in examples])
        return SequenceBatch.of(inputs_BTI, targets_B, [len(example) for example in examples])

    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {"input_size": 1, "outputs": 1}

    @property
    def task_kwargs(self) -> dict[str, Any]:
        return {"location": 0.0, "scale": 1.0}


def test_five_methods_and_no_arguments_are_enough_to_train_and_evaluate(tmp_path: Path) -> None:
    data = Sums()
    data.setup()
    batches = list(data.train_dataloader())
    assert sorted(batch.inputs.shape[0] for batch in batches) == [8, 32]
    assert sum(float(batch.targets.sum()) for batch in batches) == sum(n * (n % 5 + 1) for n in range(40))
    assert data.counts("valid") == {"sequences": 8}
    data.save(tmp_path)
    again = Sums()
    again.load(tmp_path)
    again.setup()
    assert [batch.shape for batch in again.val_dataloader()] == [batch.shape for batch in data.val_dataloader()]


def test_prediction_is_refused_with_the_missing_method(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data that can be predicted on; got Sums, .* not implement read_inputs"):
        Sums().read_inputs(None)
    write = Sums().writer(StringIO(), "jsonl")
    with pytest.raises(UserError, match=r"data that can be predicted on; got Sums, which does not implement rows"):
        write([1.0], None)
