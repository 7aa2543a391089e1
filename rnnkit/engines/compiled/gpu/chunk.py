"""One loop over a few steps, in memory at fixed addresses.

A captured loop reads and writes fixed addresses. So inputs are copied in and outputs are copied out, some steps at a
time. Tensors saved by autograd are never stored here, and the next window can follow at once.
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
"""The memory for the steps of a chunk, unless a single step needs more; with the weights of a large layer 128 MiB."""

Buffers = dict[Argument, Tensor]
Step = Callable[..., Any]


class Chunk:
    """One loop over `rows` rows, for up to `steps` steps at a time, a power of two.

    `arena_of` returns memory of a size. `step_on` makes a function of views of one step, as `Loop.module` does.
    `failed` is true if some steps could not be captured and run operation by operation.
    """

    def __init__(
        self,
        loop: Loop,
        rows: int,
        arena_of: Callable[[int], Arena],
        step_on: Callable[[list[Tensor]], Step],
        recorder: Recorder,
    ) -> None:
        # not the loop itself: GPU memory should be freed with the last reference, not by garbage collection
        self._backward, self._recorder = loop.backward, recorder
        self._recorded: dict[int, Callable[[], None]] = {}
        self.failed = False
        self.steps = MOST_STEPS
        shapes = _shapes(loop, rows, self.steps)
        while self.steps > 1 and sum(shapes[argument].bytes for argument in loop.slotted) > MOST_BYTES:
            self.steps //= 2
            shapes = _shapes(loop, rows, self.steps)
        self.arena = arena_of(sum(shape.bytes for shape in shapes.values()))
        self.buffers: Buffers = dict(zip(shapes, self.arena.tensors(shapes.values()), strict=True))
        slots = loop.slots()
        self._views = [self._views_of_step(slots, k) for k in range(self.steps)]
        self._step = step_on(self._views[0])

    def run(self, steps: int) -> None:
        """Run the first `steps` steps, in the direction of the loop."""
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
            buffer = self.buffers[argument]
            if argument.kind == "shared":
                views.append(buffer)
            else:
                rows_first = buffer if argument.kind == "row" else buffer[k + offset]
                views.append(rows_first.movedim(0, batch_axis(node) or 0))
        return views


def _shapes(loop: Loop, rows: int, steps: int) -> dict[Argument, Shape]:
    """Return the shapes of a chunk's buffers: a slot for every step, and one more for carries."""
    slots: dict[str, list[int]] = {"row": [], "step": [steps]}
    return {
        argument: Shape.like(value(argument.node))
        if argument.kind == "shared"
        else Shape.of(
            [*slots.get(argument.kind, [steps + 1]), rows, *features(argument.node)], dtype=buffer_dtype(argument)
        )
        for argument in loop.arguments
    }


def pieces(steps: int, most: int) -> list[tuple[int, int]]:
    """Split a number of steps into segments (begin, length): of `most`, then of the powers of two below it.

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


def rounded(rows: int) -> int:
    """Round up a number of rows so that few different numbers occur: to a multiple of 16, by at most a quarter.

    The address of a slot is then a multiple of 16 bytes, which fused kernels need.

    >>> [rounded(rows) for rows in (1, 16, 20, 64, 65, 100, 128, 129, 1000)]
    [16, 16, 32, 64, 80, 112, 128, 160, 1024]
    """
    unit = max(16, 1 << max(0, (rows - 1).bit_length() - 3))
    return max(1, -(-rows // unit)) * unit
