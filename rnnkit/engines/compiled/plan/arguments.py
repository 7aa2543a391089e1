"""Where values stand: what a loop is given, and at which step of it."""

from dataclasses import dataclass

from torch import fx


@dataclass(frozen=True)
class Argument:
    """A pointer that the generated function takes; its kind says where step t, lane b and feature f stand.

    * "step": [T, B, F]; "lane" and "next": [B, F]; "shared": [F].
    * "history": [T + 1, B, F], a state before and after every step; "turn": [2, B, F], a carry in alternation.
    * "sum": [threads, F] and "lane sum": [B, F], added to in every step.
    * "weight": the second factor of a product, taken with its strides.
    """

    kind: str
    node: fx.Node


@dataclass(frozen=True)
class Place:
    """Where a value stands in memory: an argument, at the step that the C++ expression `at` names, or scratch."""

    argument: Argument
    at: str = ""
