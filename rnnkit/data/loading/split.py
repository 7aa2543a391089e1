"""Division of examples into splits by fractions."""

from dataclasses import dataclass

from rnnkit.errors import UserError
from rnnkit.ranges import Fraction, Level


@dataclass(frozen=True)
class FractionSplit:
    """The parts of the data for validation and test.

    Args:
        valid_fraction: the fraction for validation.
        test_fraction: the fraction for test; 0 makes no test split.

    Raises:
        UserError: a fraction is out of range, or nothing is left for training.
    """

    valid_fraction: Level = 0.1
    test_fraction: Fraction = 0.1

    def __post_init__(self) -> None:
        valid, test = self.valid_fraction, self.test_fraction
        key = "data.split.valid_fraction"
        if not 0 < valid < 1:
            got = f"{valid}; the best checkpoint cannot be chosen without validation"
            raise UserError(key, "a number between 0 and 1", got, fix=f"{key}=0.1")
        if not 0 <= test < 1 - valid:
            expected = "0, for no test split, or a number that leaves something to train on"
            fix = "data.split.test_fraction=0.1"
            raise UserError("data.split.test_fraction", expected, f"{test} with {key}={valid}", fix=fix)
