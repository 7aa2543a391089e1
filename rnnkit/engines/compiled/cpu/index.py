"""Positions of elements in tensors, as formulas in loop variables."""

from collections.abc import Sequence
from dataclasses import dataclass, field


class Split(Exception):  # noqa: N818
    """Raised if a loop variable runs over several axes at once: the loop should be split into one for each axis."""

    def __init__(self, variable: str, inner: int) -> None:
        self.variable = variable
        self.inner = inner


@dataclass(frozen=True)
class Index:
    """A linear combination of loop variables and a constant.

    >>> str(Index({"i": 4, "j": 1}) + 2)
    '4 * i + j + 2'
    """

    terms: dict[str, int] = field(default_factory=dict)
    constant: int = 0

    def __hash__(self) -> int:
        return hash((tuple(sorted(self.terms.items())), self.constant))

    def __add__(self, other: "Index | int") -> "Index":
        if isinstance(other, int):
            return Index(self.terms, self.constant + other)
        terms = dict(self.terms)
        for variable, factor in other.terms.items():
            terms[variable] = terms.get(variable, 0) + factor
        return Index(terms, self.constant + other.constant)

    def __mul__(self, factor: int) -> "Index":
        return Index({variable: by * factor for variable, by in self.terms.items()}, self.constant * factor)

    def __str__(self) -> str:
        parts = [variable if by == 1 else f"{by} * {variable}" for variable, by in sorted(self.terms.items()) if by]
        return " + ".join([*parts, str(self.constant)] if self.constant or not parts else parts)

    def divided(self, inner: int, ranges: dict[str, int], loose: bool = False) -> tuple["Index", "Index"]:
        """Return quotient and remainder by `inner`, for variables below their ranges.

        Raises:
            Split: if they are not linear; if `loose`, they become new variables instead.

        >>> [str(part) for part in Index({"i": 8, "j": 1}, 1).divided(4, {"i": 3, "j": 2})]
        ['2 * i', 'j + 1']
        """
        outer = {variable: by // inner for variable, by in self.terms.items() if by % inner == 0}
        rest = {variable: by for variable, by in self.terms.items() if by % inner != 0}
        most = sum((ranges[variable] - 1) * by for variable, by in rest.items()) + self.constant % inner
        if most < inner and all(by > 0 for by in rest.values()):
            return Index(outer, self.constant // inner), Index(rest, self.constant % inner)
        if not loose:
            raise Split(max(rest, key=lambda name: ranges[name] * rest[name]), inner)
        quotient, remainder = f"(({self}) / {inner})", f"(({self}) % {inner})"
        last = sum((ranges[variable] - 1) * by for variable, by in self.terms.items()) + self.constant
        ranges[quotient], ranges[remainder] = last // inner + 1, inner
        return Index({quotient: 1}), Index({remainder: 1})


def flat(index: Sequence[Index], shape: Sequence[int]) -> Index:
    """Return the position in row-major order."""
    place = Index()
    for at, size in zip(index, shape, strict=True):
        place = place * size + at
    return place


def unflat(place: Index, shape: Sequence[int], ranges: dict[str, int], loose: bool = False) -> list[Index]:
    """Return the index of a position, the inverse of `flat`."""
    index: list[Index] = []
    for size in reversed(shape[1:]):
        place, rest = (place, Index()) if size == 1 else place.divided(size, ranges, loose)
        index.insert(0, rest)
    return [place, *index] if shape else []
