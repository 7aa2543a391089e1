"""Places of values: the arguments of a loop, and the step at which they are read or written."""

from dataclasses import dataclass

from torch import fx


@dataclass(frozen=True)
class Argument:
    """A pointer argument of the generated function; its kind defines the layout of step t, row b and feature f.

    * "step": [T, B, F]; "row" and "next": [B, F]; "shared": [F].
    * "history": [T + 1, B, F], a state before and after every step; "turn": [2, B, F], a carry in alternation.
    * "sum": [threads, F] and "row sum": [B, F], added to in every step.
    * "weight": the second factor of a product, taken with its strides.
    """

    kind: str
    node: fx.Node


@dataclass(frozen=True)
class Place:
    """The place of a value in memory: an argument at the step given by the C++ expression `at`, or scratch memory."""

    argument: Argument
    at: str = ""
