"""The values that one step computes and stores, and the loops in which it computes them."""

from dataclasses import dataclass, field

from torch import fx

from rnnkit.engines.compiled.cpu.index import Index, flat, unflat
from rnnkit.engines.compiled.trace.graphs import features


@dataclass
class Task:
    """One value to compute and store for every row; a reduction sums over its `axes`, a part of a concatenation is
    shifted by `offset` along them.
    """

    node: fx.Node
    source: fx.Node
    axes: tuple[int, ...] = ()
    offset: int = 0
    sizes: list[int] = field(default_factory=list)
    reduced: list[bool] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    stage: int = 0
    position: int = 0
    loose: bool = False

    @property
    def ranges(self) -> dict[str, int]:
        """The loop variables and their ranges."""
        return {f"i{n}": size for n, size in enumerate(self.sizes)}

    def index(self) -> list[Index]:
        """The element of the source, as a function of the loop variables."""
        shape = features(self.source)
        order = [*self.order, *(axis for axis in range(len(shape)) if axis not in self.order)]
        place = flat([Index({name: 1}) for name in self.ranges], self.sizes)
        moved = unflat(place, [shape[axis] for axis in order], self.ranges)
        return [moved[order.index(axis)] for axis in range(len(shape))]


@dataclass
class Nest:
    """Nested loops over features that several tasks share."""

    sizes: list[int]
    reduced: list[bool]
    tasks: list[Task]

    @property
    def around(self) -> tuple[int, int]:
        """Return the number of loops around the reduced ones, and the number of those that are not inside them."""
        if not any(self.reduced):
            return len(self.sizes), len(self.sizes)
        return self.reduced.index(True), len(self.reduced) - self.reduced[::-1].index(True)
