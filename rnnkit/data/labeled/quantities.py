"""Targets that are numbers: one per sequence, or one per step."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from rnnkit.data.io.tables.format import MISSING
from rnnkit.data.labeled.example import Labeled
from rnnkit.data.labeled.targets import Targets
from rnnkit.data.loading.batches import padded
from rnnkit.data.loading.moments import mean_and_deviation
from rnnkit.errors import UserError
from rnnkit.notices import counted, notice
from rnnkit.predictions import CurvePrediction, NumberPrediction
from rnnkit.ranges import Positive
from rnnkit.structure import check


class LearnedNumbers(TypedDict):
    """The mean and the standard deviation of the targets."""

    location: float
    scale: Positive


class Numbers(Targets):
    """Targets with one number per sequence, in the units of the file and in float64."""

    task = "regression"

    def __init__(self) -> None:
        self.location, self.scale = 0.0, 1.0

    def read(self, example: Labeled, split: str) -> Any:
        written = str(example.target).strip()
        try:
            value = math.nan if "_" in written else float(written)  # Python accepts 1_000 as a number
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            missing = written.lower() in MISSING
            fix = "numbers for them, or a file without these sequences" if missing else "data.target=label for classes"
            raise UserError("target", "a number", f"{example.target!r} at {example.place}", fix=fix)
        return value

    def learn(self, train: Sequence[Labeled]) -> None:
        values = np.concatenate([np.atleast_1d(example.target) for example in train])
        values = values[~np.isnan(values)]
        if not len(values):
            raise UserError("target", "numbers in the training split", "none", fix="another data.target_column")
        self.location, self.scale = mean_and_deviation(values)
        if self.scale == 0:
            got = f"{self.location:g} for every training sequence"
            raise UserError("target", "numbers that differ", got, fix="another data.target_column")

    def look(self, splits: Mapping[str, Sequence[Labeled]]) -> None:
        """Print the range and the mean of the numbers of each split."""
        for name, examples in splits.items():
            values = [example.target for example in examples if example.target is not None]
            if values:
                notice(f"{name}: targets from {min(values):.6g} to {max(values):.6g}, mean {np.mean(values):.6g}")

    def learned(self) -> dict[str, Any]:
        return {"location": self.location, "scale": self.scale}

    def check_learned(self, learned: dict[str, Any]) -> None:
        check(learned, LearnedNumbers, "targets")

    def restore(self, learned: Mapping[str, Any]) -> None:
        self.location, self.scale = float(learned["location"]), float(learned["scale"])

    def encode(self, example: Labeled, split: str) -> Any:
        return example.target

    def batch(self, targets: Sequence[Any], lengths: Sequence[int]) -> Tensor:
        return torch.tensor([math.nan if target is None else target for target in targets], dtype=torch.float64)

    @property
    def outputs(self) -> int:
        return 1

    @property
    def task_kwargs(self) -> dict[str, Any]:
        return {"location": self.location, "scale": self.scale}

    def rows(self, example: Labeled, prediction: NumberPrediction | None) -> list[dict[str, Any]]:
        return [{"id": example.id, "value": None if prediction is None else prediction.value}]


class Curve(Numbers):
    """Targets with one number per step; NaN if unknown."""

    def read(self, example: Labeled, split: str) -> Any:
        values = np.asarray([] if example.target is None else example.target, dtype=np.float64)
        if values.shape != (len(example.inputs),):
            got = f"{values.shape} for {len(example.inputs)} steps at {example.place}"
            raise UserError("target", "a number for every step", got, fix="data.target=number for one per sequence")
        if np.isinf(values).any():
            got = f"infinity at {example.place}"
            raise UserError("target", "finite numbers, or NaN if unknown", got, fix="a file without it")
        if np.isnan(values).all():
            raise UserError("target", "at least one number", f"none at {example.place}", fix="a file with targets")
        return values

    def look(self, splits: Mapping[str, Sequence[Labeled]]) -> None:
        """Print the number of steps without a target."""
        for name, examples in splits.items():
            missing = sum(int(np.isnan(example.target).sum()) for example in examples if example.target is not None)
            steps = sum(len(example.target) for example in examples if example.target is not None)
            if missing:
                notice(
                    f"{name}: {missing:,} of {counted(steps, 'step')} without a target, which are not part of the loss"
                )

    def encode(self, example: Labeled, split: str) -> Any:
        return torch.from_numpy(example.target)

    def batch(self, targets: Sequence[Any], lengths: Sequence[int]) -> Tensor:
        unknown = [torch.full((length,), math.nan, dtype=torch.float64) for length in lengths]
        return padded(
            [none if target is None else target for target, none in zip(targets, unknown, strict=True)], value=math.nan
        )

    def rows(self, example: Labeled, prediction: CurvePrediction | None) -> list[dict[str, Any]]:  # type: ignore[override]
        values = [] if prediction is None else prediction.values
        return [{"id": example.id, "step": step, "value": value} for step, value in enumerate(values)]
