"""Predictions for one sequence as plain Python values by name, from tasks to the writers of files."""

from typing import NamedTuple


class ClassPrediction(NamedTuple):
    """The class of a sequence: the index of the most likely class, and the probabilities of all classes, in order.

    >>> ClassPrediction(1, [0.25, 0.75]).label
    1
    """

    label: int
    probabilities: list[float]


class NumberPrediction(NamedTuple):
    """A number for a whole sequence, in the units of the file."""

    value: float


class CurvePrediction(NamedTuple):
    """A number for each step of a sequence, in the units of the file."""

    values: list[float]


class TagPrediction(NamedTuple):
    """A tag for each token of a sentence."""

    tags: list[str]


class ForecastPrediction(NamedTuple):
    """The next steps of a series, in the units of the file.

    Args:
        mean: for each step the mean of each channel.
        quantiles: the same for each level; empty if the model has no quantiles.
    """

    mean: list[list[float]]
    quantiles: dict[float, list[list[float]]]
