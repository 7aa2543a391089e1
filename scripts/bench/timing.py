"""Time, taken so that a machine whose speed drifts treats all candidates alike."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch

ROUNDS, SAMPLE_SECONDS = 5, 2e-3
Clock = Callable[[Callable[[], None], int], float]


class Timing(NamedTuple):
    """Seconds of one call: the median and the least of all samples."""

    median: float
    minimum: float
    samples: int


def on_cpu(work: Callable[[], None], calls: int) -> float:
    """Seconds of a number of calls."""
    started = time.perf_counter()
    for _ in range(calls):
        work()
    return time.perf_counter() - started


def on_gpu(work: Callable[[], None], calls: int) -> float:
    """Seconds of a number of calls, between two events on the device."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(calls):
        work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1000


def peak_on_gpu(work: Callable[[], None]) -> float:
    """MiB that a call takes at most beyond what is there before it, by the allocator's own count, after two calls."""
    for _ in range(2):
        work()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def interleaved(
    work: Mapping[str, Callable[[], None]], seconds: float, clock: Clock = on_cpu, rounds: int = ROUNDS
) -> dict[str, Timing]:
    """One sample of each in turn until the time is up, `rounds` at least, after two calls that compile and warm up."""
    calls = {}
    for name, function in work.items():
        once = min(clock(function, 1) for _ in range(2))
        calls[name] = max(1, math.ceil(SAMPLE_SECONDS / once))  # so that a clock's resolution does not matter
    samples: dict[str, list[float]] = {name: [] for name in work}
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    while rounds > 0 or time.perf_counter() - started < seconds:
        for name, function in work.items():
            samples[name].append(clock(function, calls[name]) / calls[name])
        rounds -= 1
    gc.enable()
    return {name: Timing(statistics.median(taken), min(taken), len(taken)) for name, taken in samples.items()}
