"""Three generated tasks that need memory, each with what can be reached without any."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss, one_hot

SEQUENCES = 512
"""How many new sequences a figure is measured on."""


class Task(ABC):
    """A task, what it takes to have solved it, and what can be reached without memory."""

    name: str
    steps: int
    features: int
    outputs: int
    head: str

    @abstractmethod
    def batch(self, size: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Inputs [B, T, I] and targets."""

    @abstractmethod
    def loss(self, y_BTO: Tensor, target: Tensor) -> Tensor:
        """The mean loss of a model's outputs."""

    @abstractmethod
    def figures(self, model: nn.Module) -> dict[str, float]:
        """Measures on new sequences."""

    @abstractmethod
    def passed(self, figures: Mapping[str, float]) -> bool:
        """Whether these are clearly better than without memory."""

    @abstractmethod
    def solved(self, figures: Mapping[str, float]) -> bool:
        """Whether there is nothing left to learn."""


class Adding(Task):
    """The sum of the two marked numbers of a sequence, after its last step (Hochreiter and Schmidhuber, 1997).

    One number is marked in each half. Always to predict the mean, 1, has the error of the sum's variance, 1/6. Passed
    with less than a twentieth of that: a seventh is within reach of a readout of random states that were never trained
    to remember.
    """

    name, features, outputs = "adding", 2, 1
    baseline = 1 / 6

    def __init__(self, steps: int = 200) -> None:
        self.steps = steps
        self.head = f"adding, T = {steps}: squared error ({self.baseline:.4f})"

    def batch(self, size: int, generator: Generator) -> tuple[Tensor, Tensor]:
        value_BT = torch.rand(size, self.steps, generator=generator)
        half = self.steps // 2
        first_B = torch.randint(0, half, (size,), generator=generator)
        second_B = torch.randint(half, self.steps, (size,), generator=generator)
        mark_BT = one_hot(first_B, self.steps) + one_hot(second_B, self.steps)
        return torch.stack([value_BT, mark_BT.float()], dim=2), (value_BT * mark_BT).sum(1)

    def loss(self, y_BTO: Tensor, target: Tensor) -> Tensor:
        return mse_loss(y_BTO[:, -1, 0], target)

    def figures(self, model: nn.Module) -> dict[str, float]:
        x_BTI, sum_B = self.batch(SEQUENCES, Generator().manual_seed(1))
        return {"squared error": self.loss(model(x_BTI), sum_B).item()}

    def passed(self, figures: Mapping[str, float]) -> bool:
        return figures["squared error"] < self.baseline / 20

    def solved(self, figures: Mapping[str, float]) -> bool:
        return figures["squared error"] < self.baseline / 100


class CopyMemory(Task):
    """Ten symbols of eight, shown first, are to be repeated T steps later (Arjovsky et al., 2016, arXiv:1511.06464).

    Without memory the best is to say "blank" until the delimiter and then to guess: 10 ln 8 / (T + 20) nats a step and
    an eighth of the symbols. Passed with a cross-entropy below 0.9 of that and a quarter of the symbols recalled.
    """

    name, features, outputs = "copy", 10, 9
    symbols, recalled = 8, 10

    def __init__(self, steps: int = 100) -> None:
        self.steps = steps
        self.baseline = self.recalled * math.log(self.symbols) / (steps + 2 * self.recalled)
        self.head = f"copy, T = {steps}: cross-entropy ({self.baseline:.4f}), recalled (0.125)"

    def batch(self, size: int, generator: Generator) -> tuple[Tensor, Tensor]:
        blank, delimiter = self.symbols, self.symbols + 1
        symbols_BR = torch.randint(0, self.symbols, (size, self.recalled), generator=generator)
        ids_BT = torch.full((size, self.steps + 2 * self.recalled), blank)
        target_BT = ids_BT.clone()
        ids_BT[:, : self.recalled] = symbols_BR
        ids_BT[:, -self.recalled - 1] = delimiter
        target_BT[:, -self.recalled :] = symbols_BR
        return one_hot(ids_BT, self.features).float(), target_BT

    def loss(self, y_BTO: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(y_BTO.flatten(0, 1), target.flatten())

    def figures(self, model: nn.Module) -> dict[str, float]:
        x_BTI, target_BT = self.batch(SEQUENCES, Generator().manual_seed(1))
        y_BTO = model(x_BTI)
        hits = y_BTO[:, -self.recalled :].argmax(2) == target_BT[:, -self.recalled :]
        return {"cross-entropy": self.loss(y_BTO, target_BT).item(), "recalled": hits.float().mean().item()}

    def passed(self, figures: Mapping[str, float]) -> bool:
        return figures["cross-entropy"] < 0.9 * self.baseline and figures["recalled"] > 2 / self.symbols

    def solved(self, figures: Mapping[str, float]) -> bool:
        return figures["recalled"] > 0.999


class Parity(Task):
    """After each bit, whether the ones so far are odd; then the same over four times as many bits.

    Without memory half of the answers are right. Passed with nine tenths of them at the length of training; the longer
    sequences show whether it has been learned as a rule. A linear recurrence whose factors are positive cannot do it at
    any length (Grazzi et al., 2024, arXiv:2411.12537).
    """

    name, features, outputs = "parity", 1, 1

    def __init__(self, steps: int = 32) -> None:
        self.steps = steps
        self.head = f"parity, T = {steps}: right (0.5), at T = {4 * steps}"

    def batch(self, size: int, generator: Generator, times: int = 1) -> tuple[Tensor, Tensor]:
        bits_BT = torch.randint(0, 2, (size, times * self.steps), generator=generator)
        return bits_BT[..., None].float(), bits_BT.cumsum(1) % 2

    def loss(self, y_BTO: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(y_BTO[..., 0], target.float())

    def figures(self, model: nn.Module) -> dict[str, float]:
        found = {}
        for name, times in (("right", 1), ("right at 4 T", 4)):
            x_BTI, odd_BT = self.batch(SEQUENCES, Generator().manual_seed(1), times)
            found[name] = ((model(x_BTI)[..., 0] > 0) == odd_BT).float().mean().item()
        return found

    def passed(self, figures: Mapping[str, float]) -> bool:
        return figures["right"] > 0.9

    def solved(self, figures: Mapping[str, float]) -> bool:
        return figures["right at 4 T"] > 0.999
