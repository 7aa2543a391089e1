"""Types of constructor arguments with their ranges, such as `dropout: Probability`.

The range of an argument is defined by its annotation only: `rnnkit.training.configuration.schema` reads it and checks
the values of a configuration. Any `Annotated` type with constraints of `annotated_types` works as well. Choices are
`Literal`. A `float` is finite unless its range includes infinity: `Annotated[float, Le(math.inf)]`.
"""

import math
from typing import Annotated

from annotated_types import Ge, Gt, Interval, Predicate, doc

PositiveInt = Annotated[int, Ge(1)]
NonNegativeInt = Annotated[int, Ge(0)]


def is_odd(number: int) -> bool:
    """Whether a number is odd.

    >>> is_odd(5)
    True
    """
    return number % 2 == 1


Layers = Annotated[int, Interval(ge=1, le=10_000)]
"""The number of layers of a network. It is limited, since building too many would exhaust the memory without an
error."""
LayersOrNone = Annotated[int, Interval(ge=0, le=10_000)]
"""The number of layers of a part that may be left out."""
Steps = Annotated[int, Interval(ge=1, le=1_000_000)]
"""The number of steps of a sequence that is stored in memory."""
Draws = Annotated[int, Interval(ge=1, le=100_000)]
"""The number of samples that are in memory at a time."""
StepsOrNone = Annotated[int, Interval(ge=0, le=1_000_000)]
"""The same, for what may be left out."""
Odd = Annotated[int, Ge(1), Predicate(is_odd), doc("an odd number")]
Seed = Annotated[int, Interval(ge=0, lt=2**32)]
"""A seed that Lightning, NumPy and torch accept."""

Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Probability = Annotated[float, Interval(ge=0, lt=1)]
"""The probability of dropping an element; 1 would drop all."""
Fraction = Annotated[float, Interval(ge=0, lt=1)]
"""A share of less than everything."""
ClosedFraction = Annotated[float, Interval(ge=0, le=1)]
"""A share, up to everything."""
Level = Annotated[float, Interval(gt=0, lt=1)]
"""The level of a quantile."""
Angle = Annotated[float, Interval(gt=0, le=math.tau)]
VocabularySize = Annotated[int, Ge(2)]
"""The number of tokens in a vocabulary, including the unknown one."""
