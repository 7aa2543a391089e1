"""Labeled examples."""

from typing import Any, NamedTuple


class Labeled(NamedTuple):
    """One sequence with its target.

    Attributes:
        inputs: a text or values [T, I]; when encoded, a tensor of ids [T] or of values [T, I].
        target: the target as it is written; when encoded, the index of a class, a number, or a tensor [T] of numbers.
            None if unknown.
        id: the identifier in predictions, from the file, or the index in the file, from 0.
        place: the file and the line, for error messages.
        group: the group, such as a person, a machine or a file. Sequences of a group are in the same split. None for
            no group.
    """

    inputs: Any
    target: Any
    id: str | int
    place: str
    group: str | None = None
