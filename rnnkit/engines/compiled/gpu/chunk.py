"""The work of one loop on a few steps, in memory that is always the same.

A recorded loop reads and writes fixed addresses. So whatever a window's steps read is copied in and whatever they write
is copied out, some steps at a time; what autograd keeps never lies here, and a second window may follow at once.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, fx

from rnnkit.engines.compiled.gpu.arena import Arena, Shape
from rnnkit.engines.compiled.gpu.capture import Recorder
from rnnkit.engines.compiled.plan.arguments import Argument
from rnnkit.engines.compiled.plan.loop import Loop, buffer_dtype
from rnnkit.engines.compiled.trace.graphs import batch_axis, features, value

MOST_STEPS = 64
MOST_BYTES = 96 << 20
"""For the steps of a chunk, unless one alone needs more; with the weights of a large layer that is 128 MiB."""

Buffers = dict[Argument, Tensor]
Step = Callable[..., Any]


class Chunk:
    """One loop on `lanes` lanes, for as many steps at a time as `steps`, a power of two.

    * `arena_of`: gives memory of a size; `step_on`: makes a function of one step's views of it, as `Loop.module` does.
    * `failed`: some of its steps could not be recorded, and are taken call by call.
    """

    def __init__(
        self,
        loop: Loop,
        lanes: int,
        arena_of: Callable[[int], Arena],
        step_on: Callable[[list[Tensor]], Step],
        recorder: Recorder,
    ) -> None:
        # Not the loop itself: a GPU's memory should go with the last reference, not with the next garbage collection.
        self._backward, self._recorder = loop.backward, recorder
        self._recorded: dict[int, Callable[[], None]] = {}
        self.failed = False
        self.steps = MOST_STEPS
        shapes = _shapes(loop, lanes, self.steps)
        while self.steps > 1 and sum(shapes[argument].bytes for argument in loop.slotted) > MOST_BYTES:
            self.steps //= 2
            shapes = _shapes(loop, lanes, self.steps)
        self.arena = arena_of(sum(shape.bytes for shape in shapes.values()))
        self.rooms: Buffers = dict(zip(shapes, self.arena.tensors(shapes.values()), strict=True))
        slots = loop.slots()
        self._views = [self._views_of_step(slots, k) for k in range(self.steps)]
        self._step = step_on(self._views[0])

    def run(self, steps: int) -> None:
        """The first so many steps, in the order of the loop's direction."""
        if steps not in self._recorded:
            work = partial(self._run, steps)
            recorded = self._recorder.record(work)
            self.failed |= recorded is None
            self._recorded[steps] = recorded or work
        self._recorded[steps]()

    def _run(self, steps: int) -> None:
        views = self._views[:steps]
        for arguments in reversed(views) if self._backward else views:
            self._step(*arguments)

    def _views_of_step(self, slots: list[tuple[fx.Node, Argument, int]], k: int) -> list[Tensor]:
        views = []
        for node, argument, offset in slots:
            room = self.rooms[argument]
            if argument.kind == "shared":
                views.append(room)
            else:
                lanes_first = room if argument.kind == "lane" else room[k + offset]
                views.append(lanes_first.movedim(0, batch_axis(node) or 0))
        return views


def _shapes(loop: Loop, lanes: int, steps: int) -> dict[Argument, Shape]:
    """Of a chunk's buffers: a slot for every step, and for what passes from step to step one more."""
    slots: dict[str, list[int]] = {"lane": [], "step": [steps]}
    return {
        argument: Shape.like(value(argument.node))
        if argument.kind == "shared"
        else Shape.of(
            [*slots.get(argument.kind, [steps + 1]), lanes, *features(argument.node)], dtype=buffer_dtype(argument)
        )
        for argument in loop.arguments
    }


def pieces(steps: int, most: int) -> list[tuple[int, int]]:
    """A number of steps as stretches (begin, length): of `most`, then of the powers of two below it.

    >>> pieces(70, 32)
    [(0, 32), (32, 32), (64, 4), (68, 2)]
    """
    found, begin = [], 0
    while begin < steps:
        while most > steps - begin:
            most //= 2
        found.append((begin, most))
        begin += most
    return found


def rounded(lanes: int) -> int:
    """So many lanes that few numbers serve all: a multiple of 16, and at most a quarter more where they are many.

    A slot's address is then a multiple of 16 bytes, as fused code wants it.

    >>> [rounded(lanes) for lanes in (1, 16, 20, 64, 65, 100, 128, 129, 1000)]
    [16, 16, 32, 64, 80, 112, 128, 160, 1024]
    """
    unit = max(16, 1 << max(0, (lanes - 1).bit_length() - 3))
    return max(1, -(-lanes // unit)) * unit
