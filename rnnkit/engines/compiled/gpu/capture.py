"""Work that is always the same, on the same memory, as something that a GPU repeats by itself."""

import functools
import threading
from collections.abc import Callable
from typing import Protocol

import torch

from rnnkit.engines.compiled.trace.graphs import first_line
from rnnkit.engines.compiled.trace.once import warn_once

Work = Callable[[], None]


class Recorder(Protocol):
    """Turns work into a repetition of it."""

    def record(self, work: Work) -> Work | None:
        """What does the work again, with the values that its tensors have by then, each time it is called.

        The work may be done here, any number of times, which must change nothing; its tensors stay where they are.
        None where it cannot be recorded, which was told in a warning with the reason.
        """


class Direct:
    """Does the work itself, call by call: on a CPU, and within a recording of the caller's own."""

    def record(self, work: Work) -> Work:
        """The work."""
        return work


class CudaGraphs:
    """CUDA graphs for one stream. No two of them run at a time, so they share the memory of what lives within one."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream = stream
        self._renew()

    def record(self, work: Work) -> Work | None:
        """A graph's replay, on the stream that is the current one then."""
        # A capture that fails at its end leaves its own stream the current one.
        with _recording, torch.cuda.stream(self._stream):
            try:
                self._warm_up(work)
                graph = torch.cuda.CUDAGraph()
                # A loader's thread that pins memory meanwhile would break a capture in the global mode.
                with torch.cuda.graph(graph, self._pool, self._side, capture_error_mode="thread_local"):
                    work()
            except Exception as error:
                # The pool may still be held by the capture that failed.
                self._renew()
                warn_once(f"time loops run call by call, because no CUDA graph could be made: {first_line(error)}")
                return None
        return graph.replay

    def _renew(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._side = torch.cuda.Stream(self._stream.device)

    def _warm_up(self, work: Work) -> None:
        """Do it once before: libraries are set up, kernels loaded and tuned, none of which a capture allows.

        On another stream than the capture's: the memory that cuBLAS asks for on that is then the pool's, and lives as
        long as the graphs.
        """
        stream = torch.cuda.Stream(self._stream.device)
        stream.wait_stream(self._stream)
        with torch.cuda.stream(stream):
            work()
        self._stream.wait_stream(stream)


_recording = threading.Lock()
"""CUDA graphs are made one at a time in a process."""


def recorder_for(device: torch.device) -> Recorder:
    """The recorder for what runs on a device's current stream."""
    return _recorder_of(torch.cuda.current_stream(device)) if device.type == "cuda" else Direct()


def is_capturing(device: torch.device) -> bool:
    """Whether the caller is making a CUDA graph, of which all that is done now becomes a part."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


@functools.cache
def _recorder_of(stream: torch.cuda.Stream) -> CudaGraphs:
    return CudaGraphs(stream)
