"""A loop over windows of any size, by repetition of captured chunks."""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from functools import partial

import torch
from torch import Tensor, fx

from rnnkit.compat.torch import foreach_copy_
from rnnkit.engines.compiled.gpu.arena import Arena, arena_for
from rnnkit.engines.compiled.gpu.capture import Direct, is_capturing, recorder_for
from rnnkit.engines.compiled.gpu.chunk import Buffers, Chunk, Step, pieces, rounded
from rnnkit.engines.compiled.gpu.fusion import fused
from rnnkit.engines.compiled.plan.arguments import Argument, Place
from rnnkit.engines.compiled.plan.loop import Loop, buffer_dtype
from rnnkit.engines.compiled.plan.plan import Written
from rnnkit.engines.compiled.trace.graphs import features

Pairs = list[tuple[Tensor, Tensor]]

MOST_CHUNKS = 8
"""The number of batch sizes, rounded, that have memory and captures at a time: the most recently used ones."""


class CudaGraphLoop(Loop):
    """A loop that runs over any number of steps and rows, from any thread and stream.

    `is_slow_fallback` is true if steps are neither fused nor captured, which is slower than the Python loop.
    """

    def __init__(self, known: dict[fx.Node, Place], written: Written, *, backward: bool) -> None:
        super().__init__(known, written, backward=backward)
        self._chunks: OrderedDict[Hashable, Chunk] = OrderedDict()
        self._steps: dict[int, Step] = {}
        self._unfused: set[int] = set()
        self.is_slow_fallback = False
        self._lock = threading.Lock()

    def run(self, buffers: Buffers, carries: Buffers, T: int, B: int, keep: Sequence[Argument] = ()) -> Buffers:
        """Run all steps of a window, from the given carries to the returned ones.

        `buffers` has the inputs, [T, B, F...] ("history": [T + 1, B, F...], "row": [B, F...]). The outputs are added,
        and the values before and after all steps of the carries in `keep`.
        """
        if not carries:
            return {}
        like = next(iter(carries.values()))
        for argument in (*self.outputs, *keep):
            steps = T + (argument in keep)
            buffers[argument] = like.new_empty(steps, B, *features(argument.node), dtype=buffer_dtype(argument))
        for argument in keep:
            buffers[argument][0] = carries[argument]
        with self._lock:
            chunk = self._chunk(B, like.device)
        # from here on the memory belongs to this window: another thread would interfere
        with chunk.arena.lock:
            held = chunk.buffers
            _copy(self._at_all_steps(held, buffers, B))
            stretches = pieces(T, chunk.steps)
            for begin, K in reversed(stretches) if self.backward else stretches:
                first, last = (K, 0) if self.backward else (0, K)
                read = self._at_steps(held, buffers, begin, K, B)
                _copy([*read, *((held[argument][first, :B], carries[argument]) for argument in self.carries)])
                chunk.run(K)
                carries = {argument: held[argument][last, :B] for argument in self.carries}
                written = [(buffers[argument][begin : begin + K], held[argument][:K, :B]) for argument in self.outputs]
                after = slice(begin + 1, begin + K + 1)
                _copy([*written, *((buffers[argument][after], held[argument][1 : K + 1, :B]) for argument in keep)])
            ends = {argument: carry.clone() for argument, carry in carries.items()}
        self.is_slow_fallback |= chunk.failed and rounded(B) in self._unfused
        return ends

    def _at_all_steps(self, held: Buffers, buffers: Buffers, B: int) -> Pairs:
        """Return destinations and sources of values that are constant over the steps."""
        shared = [(held[argument], buffers[argument]) for argument in self.inputs if argument.kind == "shared"]
        return shared + [(held[argument][:B], buffers[argument]) for argument in self.inputs if argument.kind == "row"]

    def _at_steps(self, held: Buffers, buffers: Buffers, begin: int, K: int, B: int) -> Pairs:
        """Return destinations and sources of the values that some steps read."""
        slots = {a: K + (a.kind == "history") for a in self.inputs if a.kind in ("step", "history")}
        return [(held[a][:count, :B], buffers[a][begin : begin + count]) for a, count in slots.items()]

    def _chunk(self, B: int, device: torch.device) -> Chunk:
        """Return the chunk for a number of rows on the current device and stream, an existing one or a new one."""
        rows = rounded(B)
        if is_capturing(device):
            # inside a capture by the caller: memory from its pool, and no synchronization
            plain = self._steps.get(rows) or self.whole(self.module(rows))
            return Chunk(self, rows, partial(Arena, device=device), lambda _: plain, Direct())
        stream = torch.cuda.current_stream(device) if device.type == "cuda" else None
        # a capture fixes its stream, and whether products use TF32
        key = (rows, stream, torch.backends.cuda.matmul.fp32_precision if stream is not None else "")
        if key not in self._chunks:
            arena_of = partial(arena_for, (device, stream), device=device)
            self._chunks[key] = Chunk(self, rows, arena_of, partial(self._fused, rows), recorder_for(device))
        self._chunks.move_to_end(key)
        while len(self._chunks) > MOST_CHUNKS:
            self._chunks.popitem(last=False)
        return self._chunks[key]

    def _fused(self, rows: int, views: list[Tensor]) -> Step:
        if rows not in self._steps:
            step = self.module(rows)
            compiled = fused(step, views)
            if compiled is step:
                self._unfused.add(rows)
            self._steps[rows] = self.whole(compiled)
        return self._steps[rows]


def _copy(pairs: Pairs) -> None:
    """Copy each second tensor to the first, in one call."""
    if pairs:
        to, source = zip(*pairs, strict=True)
        foreach_copy_(to, source)
