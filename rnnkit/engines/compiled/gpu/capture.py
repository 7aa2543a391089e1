"""Capture of work on fixed memory as CUDA graphs."""

import functools
import threading
from collections.abc import Callable
from typing import Protocol

import torch

from rnnkit.engines.compiled.trace.graphs import first_line
from rnnkit.engines.compiled.trace.once import warn_once

Work = Callable[[], None]


class Recorder(Protocol):
    """Interface of recorders, which turn work into a function that repeats it."""

    def record(self, work: Work) -> Work | None:
        """Return a function that repeats the work with the current values of its tensors; None if it cannot be
        recorded.

        The work may run here any number of times, which must have no other effects. Its tensors keep their addresses.
        If it cannot be recorded, a warning gives the reason.
        """


class Direct:
    """Runs the work itself, operation by operation: on a CPU, and inside a capture by the caller."""

    def record(self, work: Work) -> Work:
        """Return the work."""
        return work


class CudaGraphs:
    """CUDA graphs for one stream. They do not run concurrently, so they share a memory pool."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream = stream
        self._renew()

    def record(self, work: Work) -> Work | None:
        """Capture a graph and return its replay on the current stream."""
        # a capture that fails at its end leaves its own stream current
        with _recording, torch.cuda.stream(self._stream):
            try:
                self._warm_up(work)
                graph = torch.cuda.CUDAGraph()
                # in the global mode, a loader thread that pins memory would break the capture
                with torch.cuda.graph(graph, self._pool, self._side, capture_error_mode="thread_local"):
                    work()
            except Exception as error:
                # the failed capture may still hold the pool
                self._renew()
                warn_once(f"time loops run without CUDA graphs, because the capture failed: {first_line(error)}")
                return None
        return graph.replay

    def _renew(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._side = torch.cuda.Stream(self._stream.device)

    def _warm_up(self, work: Work) -> None:
        """Run the work once before: it initializes libraries and loads and tunes kernels, which a capture does not
        allow.

        On another stream than that of the capture: otherwise the workspace of cuBLAS would be in the pool and live as
        long as the graphs.
        """
        stream = torch.cuda.Stream(self._stream.device)
        stream.wait_stream(self._stream)
        with torch.cuda.stream(stream):
            work()
        self._stream.wait_stream(stream)


_recording = threading.Lock()
"""One CUDA graph at a time can be captured in a process."""


def recorder_for(device: torch.device) -> Recorder:
    """Return the recorder for the current stream of a device."""
    return _recorder_of(torch.cuda.current_stream(device)) if device.type == "cuda" else Direct()


def is_capturing(device: torch.device) -> bool:
    """Whether the caller is capturing a CUDA graph, of which all current work becomes a part."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


@functools.cache
def _recorder_of(stream: torch.cuda.Stream) -> CudaGraphs:
    return CudaGraphs(stream)
