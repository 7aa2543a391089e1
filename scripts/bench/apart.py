"""What only a fresh process can tell: the first call of a cell, and the peak of its memory.

python -m bench.apart first-call "LSTM compiled" 64 16 64 64        seconds of the first step beyond a usual one
python -m bench.apart first-call-on-gpu "unseen compiled" 64 16 64 64
python -m bench.apart peak-memory "LSTM auto" 256 64 64 256 [16]    MiB of a step [with checkpoint_every=16]
"""

import ctypes
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

SCRIPTS = Path(__file__).parents[1]


def measured(kind: str, name: str, size: tuple[int, ...], *more: int, threads: int = 1, cache: str = "") -> float:
    """The figure from a process of its own; `cache` is the folder of compiled cells, "" for the usual one."""
    # With a fixed threshold glibc returns every large block at once, so that freed memory is not counted as in use.
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MALLOC_MMAP_THRESHOLD_": "65536"}
    if cache:
        for variable in ("RNNKIT_CACHE", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
            environment[variable] = cache
    command = [sys.executable, "-m", "bench.apart", kind, name, *map(str, (*size, *more))]
    done = subprocess.run(command, cwd=SCRIPTS, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def first_call(name: str, *size: int, device: str = "cpu", wait: Callable[[], None] = lambda: None) -> float:
    from bench.candidates import Candidate, Size

    candidate = Candidate(name, Size(*size), device)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        candidate.step()
        wait()
        seconds.append(time.perf_counter() - started)
    return seconds[0] - min(seconds)


def first_call_on_gpu(name: str, *size: int) -> float:
    from bench.candidates import Candidate, Size

    # The device and its libraries, which every program sets up.
    Candidate("nn.LSTM", Size(*size), "cuda").step()
    torch.cuda.synchronize()
    return first_call(name, *size, device="cuda", wait=torch.cuda.synchronize)


def peak_memory(name: str, T: int, B: int, I: int, H: int, every: int | None = None) -> float:  # noqa: E741
    """How far the resident memory rises above what it was before the step, by the kernel's own high-water mark.

    torch's profiler counts only what torch allocates: the scratchpads and repacked weights of oneDNN and the buffers of
    compiled code would be missing. Sampling from a thread misses short peaks. The mark, which Linux resets when 5 is
    written to clear_refs, has both. Two steps first: libraries, kernels and threads are there before it counts, spare
    buffers are not.
    """
    from bench.candidates import Candidate, Size

    from rnnkit.engines.compiled.plan.products import BUFFERS

    candidate = Candidate(name, Size(T, B, I, H), checkpoint_every=every)
    for _ in range(2):
        candidate.step()
    BUFFERS.clear()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _kibibytes("VmRSS")
    candidate.step()
    return (_kibibytes("VmHWM") - before) / 1024


def _kibibytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


if __name__ == "__main__":
    kind, name, *numbers = sys.argv[1:]
    kinds = {"first-call": first_call, "first-call-on-gpu": first_call_on_gpu, "peak-memory": peak_memory}
    print(kinds[kind](name, *map(int, numbers)))
