"""A sequence with its target, from file to batch."""

from typing import Any, NamedTuple


class Labeled(NamedTuple):
    """One sequence and what is to be said of it.

    * `inputs`: as read, a text or values [T, I]; encoded, a tensor [T] of ids or [T, I].
    * `target`: as read, what the file says; encoded, the number of its class, a number, or a tensor [T] of numbers;
      None where it is unknown.
    * `id`: how predictions name the sequence: what the file says, or its number in the file, from 0.
    * `place`: file and line, for messages.
    * `group`: of which person, machine or file it is; sequences of a group never part. None where nothing is said.
    """

    inputs: Any
    target: Any
    id: str | int
    place: str
    group: str | None = None
