"""What is to be said of a sequence: the interface of the kinds of target."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from rnnkit.data.io.findings import Findings
from rnnkit.data.labeled.example import Labeled
from rnnkit.errors import UserError


class Targets(ABC):
    """One kind of target: from what a file says to a batch, and from a prediction to rows."""

    task: str
    """The task that such targets are for."""

    @abstractmethod
    def read(self, example: Labeled, split: str) -> Any:
        """The target of an example as this kind of target wants it; UserError where it is none."""

    def read_all(self, examples: Sequence[Labeled], split: str) -> list[Labeled]:
        """The examples with their targets read.

        Raises UserError where some have none or another kind of target, with their number and the first.
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
        """Print what the targets of the splits are; UserError for those that training does not know."""

    def stratum(self, target: Any) -> str:
        """What a target has to be alike in for two examples to be dealt out alike."""
        return ""

    @abstractmethod
    def learn(self, train: Sequence[Labeled]) -> None:
        """Takes from the training examples, their targets read, what `encode` and `task_kwargs` need."""

    @abstractmethod
    def learned(self) -> dict[str, Any]:
        """What `learn` took, as plain JSON values."""

    def check_learned(self, learned: dict[str, Any]) -> None:
        """Look at what a file holds before it is restored; ValueError where `learned` cannot have given it."""
        return

    @abstractmethod
    def restore(self, learned: Mapping[str, Any]) -> None:
        """Takes back what `learned` gave."""

    @abstractmethod
    def encode(self, example: Labeled, split: str) -> Any:
        """What `batch` takes of an example whose target is read, or None."""

    @abstractmethod
    def batch(self, targets: Sequence[Any], lengths: Sequence[int]) -> Tensor:
        """The targets of a batch; `IGNORED` or NaN where one is None."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many numbers a model answers with."""

    @property
    @abstractmethod
    def task_kwargs(self) -> dict[str, Any]:
        """Keyword arguments of the task."""

    @abstractmethod
    def rows(self, example: Labeled, prediction: Any) -> list[dict[str, Any]]:
        """What is written of a prediction."""


def short(value: float) -> float:
    """As many digits as float32 knows."""
    return float(f"{value:.7g}")
