"""Types of constructor arguments with their ranges, such as `dropout: Probability`.

An annotation is the one place where the range of an argument stands: `rnnkit.training.configuration.schema`
reads it, and checks the values of a configuration against it. Any `Annotated` type with the constraints of
`annotated_types` works as well. Choices are `Literal`. A `float` is finite unless its range includes
infinity: `Annotated[float, Le(math.inf)]`.
"""

import math
from typing import Annotated

from annotated_types import Ge, Gt, Interval, Predicate, doc

PositiveInt = Annotated[int, Ge(1)]
NonNegativeInt = Annotated[int, Ge(0)]


def is_odd(number: int) -> bool:
    """Whether a number leaves 1 when it is divided by 2.

    >>> is_odd(5)
    True
    """
    return number % 2 == 1


Layers = Annotated[int, Interval(ge=1, le=10_000)]
"""Of a network. Each is an object, and one more than memory has room for is not noticed before it is made."""
LayersOrNone = Annotated[int, Interval(ge=0, le=10_000)]
"""The same, of a part of a network that may be left out."""
Steps = Annotated[int, Interval(ge=1, le=1_000_000)]
"""Of one sequence that is laid out in memory."""
Draws = Annotated[int, Interval(ge=1, le=100_000)]
"""Of samples that are in memory together."""
Odd = Annotated[int, Ge(1), Predicate(is_odd), doc("an odd number")]
Seed = Annotated[int, Interval(ge=0, lt=2**32)]
"""What Lightning, NumPy and torch all take for a seed."""

Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Probability = Annotated[float, Interval(ge=0, lt=1)]
"""Of dropping something: 1 would leave nothing."""
Fraction = Annotated[float, Interval(ge=0, lt=1)]
"""A part of something, of which some must be left."""
ClosedFraction = Annotated[float, Interval(ge=0, le=1)]
"""A part of something, or all of it."""
Level = Annotated[float, Interval(gt=0, lt=1)]
"""Of a quantile."""
Angle = Annotated[float, Interval(gt=0, le=math.tau)]
VocabularySize = Annotated[int, Ge(2)]
"""Tokens of a vocabulary, the unknown one among them."""
