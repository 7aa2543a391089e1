"""How long one step of a live sequence takes, beside torch's own layers and ONNX Runtime.

    python scripts/bench_deploy.py [--hidden-size 128] [--steps 3000] [--output bench_deploy.json]

All candidates of a table take turns in one process, on one thread. Times are p5, p50 and p99 in microseconds. They mean
something only on a machine that does nothing else. ONNX Runtime takes part if the extra `onnx` is installed. The time
and the size of an exported program are those of a C program that calls `model_step` in a loop.
"""

import argparse
import json
import platform
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import rnnkit
from rnnkit.cells import GRUCell, LayerNormLSTMCell, LRUCell, LSTMCell, MinGRUCell, SLSTMCell, Stack
from rnnkit.cells.stateless import Stateless
from rnnkit.deploy import Session, SessionBank, export
from rnnkit.engines.live import freeze

LOOP = """
#define _POSIX_C_SOURCE 199309L
#include "model.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static int ascending(const void *a, const void *b) {
  return (*(double *)a > *(double *)b) - (*(double *)a < *(double *)b);
}
int main(void) {
  enum { COUNT = 20000 };
  static double times[COUNT];
  model_state *const sequence = model_init(malloc(model_get_size()));
  float input[MODEL_INPUTS] = {0}, output[MODEL_OUTPUTS];
  for (int i = 0; i < COUNT; ++i) {
    struct timespec from, to;
    input[i % MODEL_INPUTS] = (float)(i % 7) / 7;
    clock_gettime(CLOCK_MONOTONIC, &from);
    model_step(sequence, input, output);
    clock_gettime(CLOCK_MONOTONIC, &to);
    times[i] = (to.tv_sec - from.tv_sec) * 1e6 + (to.tv_nsec - from.tv_nsec) / 1e3;
  }
  qsort(times, COUNT, sizeof(double), ascending);
  printf("%f %f %f\\n", times[COUNT / 20], times[COUNT / 2], times[COUNT / 100 * 99]);
  return output[0] > 1e30f;
}
"""


def timed(candidates: dict[str, Callable[[], Any]], steps: int) -> dict[str, list[float]]:
    """Return p5, p50 and p99 of each candidate in microseconds; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for call in candidates.values():
        for _ in range(50):
            call()
    for _ in range(max(1, steps // 100)):
        for name, call in candidates.items():
            for _ in range(100):
                begun = time.perf_counter_ns()
                call()
                times[name].append((time.perf_counter_ns() - begun) / 1e3)
    return {name: [sorted(found)[int(q * len(found))] for q in (0.05, 0.5, 0.99)] for name, found in times.items()}


def alone(H: int) -> dict[str, Callable[[], Any]]:
    """One sequence."""
    x_I = torch.randn(H)
    cell, peer, layer = LSTMCell(H, H), nn.LSTMCell(H, H), nn.LSTM(H, H, batch_first=True)
    pair = peer(x_I[None])
    state = cell.initial_state(1)
    found: dict[str, Callable[[], Any]] = {
        "nn.LSTM": lambda: layer(x_I[None, None], (pair[0][None], pair[1][None])),
        "nn.LSTMCell": lambda: peer(x_I[None], pair),
        "cell(x, s)": lambda: cell(x_I[None], state),
        "scan, auto": lambda: rnnkit.scan(cell, x_I[None, None], state),
        "scan, compiled": lambda: rnnkit.scan(cell, x_I[None, None], state, engine="compiled"),
    }
    for kind in (LSTMCell, GRUCell, LayerNormLSTMCell, SLSTMCell, MinGRUCell, LRUCell):
        session = Session(kind(H, H))
        found[f"Session {kind.__name__}"] = lambda session=session: session.step(x_I)
    two = Session(Stack([LSTMCell(H // 2, H), LSTMCell(H, H), Stateless(nn.Linear(H, 96), H, 96)]))
    half = torch.randn(H // 2)
    found["Session of 2 LSTM layers and a read-out"] = lambda: two.step(half)
    return found | runtime_step(cell, x_I[None])


def together(H: int, B: int = 64) -> dict[str, Callable[[], Any]]:
    """Many sequences at once."""
    x_BI, cell, peer = torch.randn(B, H), LSTMCell(H, H), nn.LSTMCell(H, H)
    pair, state = peer(x_BI), cell.initial_state(B)
    bank = SessionBank(cell)
    names = [f"s{n}" for n in range(B)]
    for name in names:
        bank.start(name)
    chunks = dict(zip(names, x_BI.unbind(0), strict=True))
    found: dict[str, Callable[[], Any]] = {
        "nn.LSTMCell": lambda: peer(x_BI, pair),
        "cell(x, s)": lambda: cell(x_BI, state),
        "scan, compiled": lambda: rnnkit.scan(cell, x_BI[:, None], state, engine="compiled"),
        "SessionBank.step": lambda: bank.step(names, x_BI),
        "SessionBank.push": lambda: bank.push(chunks),
    }
    return found | runtime_step(cell, x_BI)


def runtime_step(cell: Any, x_BI: torch.Tensor) -> dict[str, Callable[[], Any]]:
    """ONNX Runtime, called with arrays."""
    try:
        import onnxruntime
    except ImportError:
        return {}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        export(cell, f"{folder}/step.onnx")
        session = onnxruntime.InferenceSession(f"{folder}/step.onnx", options)
    names = [value.name for value in session.get_inputs()]
    arrays = [x_BI.numpy(), *(leaf.numpy() for leaf in cell.initial_state(len(x_BI)))]
    given = dict(zip(names, arrays, strict=True))
    return {"ONNX Runtime": lambda: session.run(None, given)}


def program(H: int) -> dict[str, Any]:
    """The time of a step in C, and the size of the program without its weights."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "program"
        export(LSTMCell(H, H), folder, format="cpp")
        (folder / "main.c").write_text(LOOP.replace("MODEL_", "model_"))
        subprocess.run(["make", "-s", "main"], cwd=folder, check=True)
        printed = subprocess.run(["./main"], cwd=folder, capture_output=True, text=True, check=False).stdout
        subprocess.run(["strip", "main"], cwd=folder, check=True)
        size = (folder / "main").stat().st_size
    packed = freeze(LSTMCell(H, H)).program.constants.values()
    weights = sum(tensor.numel() * tensor.element_size() for tensor in packed)
    return {"us": [float(number) for number in printed.split()], "bytes_without_weights": size - weights}


def idle(H: int, count: int = 10_000) -> dict[str, float]:
    """The memory of an idle sequence in a bank."""
    bank = SessionBank(LSTMCell(H, H), max_sequences=count)
    tracemalloc.start()
    for n in range(count):
        bank.start(f"sequence-{n}")
    python = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {"state": bank.frozen.layout.bytes, "beside the state": python / count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    H = given.hidden_size
    with torch.no_grad():
        tables = {f"B=1, H={H}": timed(alone(H), given.steps), f"B=64, H={H}": timed(together(H), given.steps)}
    for title, table in tables.items():
        print(f"\n{title}\n{'':42}{'p5':>9}{'p50':>9}{'p99':>9}  µs")
        for name, times in table.items():
            print(f"{name:42}" + "".join(f"{number:9.1f}" for number in times))
    others = {"program": program(H), "idle": idle(H)}
    print(f"\nprogram in C++, LSTM-{H}: {others['program']}\nan idle sequence, bytes: {others['idle']}")
    if given.output:
        given.output.write_text(json.dumps({"machine": platform.processor(), **tables, **others}, indent=2))


if __name__ == "__main__":
    main()
