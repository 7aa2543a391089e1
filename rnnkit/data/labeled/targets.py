"""Base class of the kinds of target."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from rnnkit.data.io.findings import Findings
from rnnkit.data.labeled.example import Labeled
from rnnkit.errors import UserError


class Targets(ABC):
    """Base class of the kinds of target: conversion from file to batch, and from prediction to rows."""

    task: str
    """The task for this kind of target."""

    @abstractmethod
    def read(self, example: Labeled, split: str) -> Any:
        """Convert the target of an example as it is written.

        Raises:
            UserError: it is missing or not of this kind.
        """

    def read_all(self, examples: Sequence[Labeled], split: str) -> list[Labeled]:
        """Convert the targets of examples.

        Raises:
            UserError: some targets are missing or not of this kind. The message has their number and the first.
        """
        found, faults = [], Findings()
        first: UserError | None = None
        for example in examples:
            try:
                found.append(example._replace(target=self.read(example, split)))
            except UserError as error:
                first = first or error
                faults.add("in all", example.place)
        if first is not None and len(faults) > 1:
            raise UserError(first.argument, first.expected, f"{first.got}; {faults.lines()[0]}", fix=first.fix)
        if first is not None:
            raise first
        return found

    @abstractmethod
    def look(self, splits: Mapping[str, Sequence[Labeled]]) -> None:
        """Print a summary of the targets of the splits.

        Raises:
            UserError: there are targets that are not in the training split.
        """

    def stratum(self, target: Any) -> str:
        """The stratum of a target for the stratified division into splits."""
        return ""

    @abstractmethod
    def learn(self, train: Sequence[Labeled]) -> None:
        """Compute what `encode` and `task_kwargs` need from the training examples with converted targets."""

    @abstractmethod
    def learned(self) -> dict[str, Any]:
        """The results of `learn` as JSON values."""

    def check_learned(self, learned: dict[str, Any]) -> None:
        """Raise ValueError if the content of a file is not a possible result of `learned`."""
        return

    @abstractmethod
    def restore(self, learned: Mapping[str, Any]) -> None:
        """Restore the results of `learned`."""

    @abstractmethod
    def encode(self, example: Labeled, split: str) -> Any:
        """The encoded target of an example for `batch`, or None."""

    @abstractmethod
    def batch(self, targets: Sequence[Any], lengths: Sequence[int]) -> Tensor:
        """The targets of a batch; `IGNORED` or NaN for None."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """The number of outputs of the model."""

    @property
    @abstractmethod
    def task_kwargs(self) -> dict[str, Any]:
        """Arguments of the task's constructor."""

    @abstractmethod
    def rows(self, example: Labeled, prediction: Any) -> list[dict[str, Any]]:
        """The output rows of a prediction."""


def short(value: float) -> float:
    """A number rounded to the digits of float32."""
    return float(f"{value:.7g}")
