"""How fast every engine is, against torch's own kernels and the Python loop.

    python scripts/bench_engines.py [--only engines memory] [--sizes 0 3] [--threads 1 2] [--seconds 30] [--output DIR]

All candidates of a table take turns in one process, warm; a ratio is one of medians, printed beside its floor and its
aim. Times mean something only on a machine that does nothing else: on two cores a second busy process makes OpenMP's
threads wait for each other. Compile times and memory are measured in processes of their own.

Sections: engines (forward + backward), linear, cells, decoders, memory, compile, inference, cuda (where there is a
GPU). For the table of a GPU alone: --only cuda.
"""

import argparse
import inspect
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from bench import apart
from bench.candidates import Candidate, Size, with_every_engine
from bench.report import Ratio, Report, machine
from bench.timing import Clock, interleaved, on_cpu, on_gpu, peak_on_gpu
from torch import nn

import rnnkit
from rnnkit.cells import LSTMCell

LONG = Size(1000, 8, 32, 64)
SIZES = [Size(35, 20, 200, 200), Size(70, 20, 650, 650), Size(100, 32, 128, 128), LONG, Size(256, 64, 64, 256)]
OTHER_SIZE = Size(128, 16, 128, 128)
DECODER_SIZE = Size(30, 64, 256, 256)
LINEAR_SIZES = [Size(512, 8, 256, 256), Size(4096, 8, 256, 256)]
GROWTH = [1024, 4096, 16384, 65536]
MEMORY_SIZES = [Size(70, 20, 650, 650), Size(256, 64, 64, 256)]
GPU_SIZES = [Size(1024, 16, 768, 768), Size(70, 64, 650, 650), Size(1024, 16, 64, 64)]
FIRST_SIZE = Size(64, 16, 64, 64)


def engine_ratios(size: Size) -> list[Ratio]:
    """What is asked of the classic cells, and of cells that no vendor has a kernel for."""
    long = size == LONG
    return [
        Ratio("LSTM auto", "nn.LSTM", 1.0, 1.3),
        Ratio("GRU auto", "nn.GRU", 2.5 if long else 1.0, 4),
        *(Ratio(f"{cell} auto", "nn.LSTM", 0.35 if long else 0.8, 1.0) for cell in ("LayerNormLSTM", "unseen")),
        *(Ratio(f"{cell} auto", f"{cell} reference", 5 if long else 1.8, 10) for cell in ("LayerNormLSTM", "unseen")),
    ]


def compare(
    report: Report,
    section: str,
    names: list[str],
    size: Size,
    ratios: list[Ratio],
    given: argparse.Namespace,
    *,
    device: str = "cpu",
    autocast: bool = False,
    clock: Clock = on_cpu,
) -> None:
    """Time the training steps of some candidates at one size."""
    candidates = {name: Candidate(name, size, device, autocast) for name in names}
    timings = interleaved({name: candidate.step for name, candidate in candidates.items()}, given.seconds, clock)
    engines = {name: candidate.engine() for name, candidate in candidates.items()}
    threads = torch.get_num_threads()
    where = f"threads {threads}" if device == "cpu" else device
    title = f"{section}: T, B, I, H = {size}, {where}, forward + backward"
    report.times(section, title, timings, engines, ratios, size=size, threads=threads, device=device, bf16=autocast)


def engines(report: Report, given: argparse.Namespace) -> None:
    """The classic cells with every engine, layer norm and an unseen cell, at five sizes."""
    for number in given.sizes:
        size = SIZES[number]
        names = ["nn.LSTM", "nn.GRU", *with_every_engine("LSTM", size), *with_every_engine("GRU", size)]
        names += [f"{cell} {engine}" for cell in ("LayerNormLSTM", "unseen") for engine in ("auto", "reference")]
        compare(report, "engines", names, size, engine_ratios(size), given)


def linear(report: Report, given: argparse.Namespace) -> None:
    """Whether minGRU beats nn.LSTM, and whether its time grows no faster than T."""
    for size, floor, aim in zip(LINEAR_SIZES, (None, 3), (None, 8), strict=True):
        compare(
            report, "linear", ["nn.LSTM", "minGRU auto"], size, [Ratio("minGRU auto", "nn.LSTM", floor, aim)], given
        )
    # One at a time, and no more often than need be: the longest takes gigabytes and many seconds.
    milliseconds = {}
    for T in GROWTH:
        step = Candidate("minGRU auto", Size(T, 8, 256, 256)).step
        milliseconds[f"T = {T}"] = 1e3 * interleaved({"": step}, given.seconds / len(GROWTH), rounds=2)[""].median
    per_step = [milliseconds[f"T = {T}"] / T for T in (4096, 65536)]
    ratio = Ratio("time a step at T = 65,536", "at T = 4,096", None, 1.0, below=True)
    title = f"linear: minGRU auto, B, I, H = 8, 256, 256, threads {torch.get_num_threads()}, forward + backward"
    found = [(ratio, per_step[1] / per_step[0])]
    report.figures("growth", title, "ms", milliseconds, found, threads=torch.get_num_threads())


def cells(report: Report, given: argparse.Namespace) -> None:
    """Two cells of recent papers, sLSTM and CfC."""
    names = ["nn.LSTM", *(f"{cell} {engine}" for cell in ("sLSTM", "CfC") for engine in ("auto", "reference"))]
    ratios = [Ratio(f"{cell} auto", "nn.LSTM", 0.6, 1.0) for cell in ("sLSTM", "CfC")]
    compare(report, "cells", names, OTHER_SIZE, ratios, given)


def decoders(report: Report, given: argparse.Namespace) -> None:
    """Decoder steps that read a memory of 30 rows by attention, against their own Python loop."""
    names = [f"{cell} {engine}" for cell in ("AdditiveDecoder", "DotDecoder") for engine in ("auto", "reference")]
    ratios = [Ratio(f"{cell} auto", f"{cell} reference", 3, 5) for cell in ("AdditiveDecoder", "DotDecoder")]
    compare(report, "decoders", names, DECODER_SIZE, ratios, given)


def memory(report: Report, given: argparse.Namespace) -> None:
    """The peak of one training step above what stood before it, with and without checkpointing."""
    if not Path("/proc/self/clear_refs").exists():
        report.note("memory: left out, because only Linux tells the high-water mark of a process")
        return
    names = ["LSTM auto", "GRU auto", "LayerNormLSTM auto", "unseen auto"]
    knows_checkpoints = "checkpoint_every" in inspect.signature(rnnkit.scan).parameters
    for size in MEMORY_SIZES:
        mebibytes = {name: apart.measured("peak-memory", name, size) for name in ("nn.LSTM", *names)}
        ratios = [Ratio(name, "nn.LSTM", 1.5, 1.0, below=True) for name in names]
        if knows_checkpoints:
            every = round(size.T**0.5)
            for name in names:
                marked = f"{name}, checkpoint_every={every}"
                mebibytes[marked] = apart.measured("peak-memory", name, size, every)
                ratios.append(Ratio(marked, "nn.LSTM", None, 0.33, below=True))
        found = [(ratio, mebibytes[ratio.name] / mebibytes[ratio.against]) for ratio in ratios]
        title = f"memory: T, B, I, H = {size}, peak of one training step"
        report.figures("memory", title, "MiB", mebibytes, found, size=size)
        if knows_checkpoints:
            _price_of_checkpoints(report, size, names, every, given)


def _price_of_checkpoints(report: Report, size: Size, names: list[str], every: int, given: argparse.Namespace) -> None:
    work, timed, ratios = {}, {}, []
    for name in names:
        timed[name] = Candidate(name, size)
        timed[f"{name}, checkpointed"] = Candidate(name, size, checkpoint_every=every)
        ratios.append(Ratio(f"{name}, checkpointed", name, None, round(1 / 1.15, 2)))
    work = {name: candidate.step for name, candidate in timed.items()}
    title = f"memory: T, B, I, H = {size}, the time that checkpoint_every={every} takes"
    found = {name: candidate.engine() for name, candidate in timed.items()}
    report.times("checkpointing", title, interleaved(work, given.seconds), found, ratios, size=size, every=every)


def compile(report: Report, given: argparse.Namespace) -> None:
    """The first step of a cell beyond a usual one: with an empty cache, then from the disk in a new process."""
    seconds, found = {}, []
    for name in ("LSTM auto", "LayerNormLSTM compiled", "unseen compiled", "minGRU parallel"):
        engine = name.split()[1]
        if engine != "auto" and name not in with_every_engine(name.split()[0], FIRST_SIZE):
            report.note(f"compile: {name} left out, that engine does not run this cell here")
            continue
        with tempfile.TemporaryDirectory() as cache:
            for attempt, floor in (("first in all", 15), ("from the disk", 2)):
                value = apart.measured("first-call", name, FIRST_SIZE, cache=cache)
                seconds[f"{name}, {attempt}"] = value
                aim = 5 if attempt == "first in all" else None
                found.append((Ratio(f"{name}, {attempt}", "", floor, aim, below=True), value))
    report.figures("compile", "compile: the first training step beyond a usual one", "seconds", seconds, found)


def inference(report: Report, given: argparse.Namespace) -> None:
    """One step of one sequence without gradients, as in a live stream: all names mean an LSTM with H = 128."""
    x_11I, rnn = torch.randn(1, 1, 128), rnnkit.RNN(LSTMCell, 128, 128)
    cell, torch_lstm, torch_cell = LSTMCell(128, 128), nn.LSTM(128, 128, batch_first=True), nn.LSTMCell(128, 128)
    state, layers = cell.initial_state(1), rnn.initial_state(1)
    h_11H, h_1H = (torch.zeros(1, 1, 128),) * 2, (torch.zeros(1, 128),) * 2
    work = {
        "nn.LSTM": lambda: torch_lstm(x_11I, h_11H),
        "nn.LSTMCell": lambda: torch_cell(x_11I[:, 0], h_1H),
        "LSTMCell": lambda: cell(x_11I[:, 0], state),
        "scan auto": lambda: rnnkit.scan(cell, x_11I, state),
        "scan compiled": lambda: rnnkit.scan(cell, x_11I, state, engine="compiled"),
        "RNN compiled": lambda: rnn(x_11I, layers, engine="compiled"),
    }
    with torch.no_grad():
        timings = interleaved(work, given.seconds / 4)
    ratios = [Ratio(name, "nn.LSTM", 3, 6) for name in list(work)[2:]] + [Ratio("nn.LSTMCell", "nn.LSTM")]
    title = f"inference: one step, B = 1, I = H = 128, threads {torch.get_num_threads()}"
    report.times("inference", title, timings, dict.fromkeys(work, ""), ratios, threads=torch.get_num_threads())


def cuda(report: Report, given: argparse.Namespace) -> None:
    """Against cuDNN in float32, in TF32 and under bfloat16 autocast; the first call, and the memory of a step."""
    if not torch.cuda.is_available():
        report.note("cuda: left out, there is no GPU here")
        return
    on_device(report, given, "cuda", GPU_SIZES, on_gpu)
    for size in GPU_SIZES:
        names = ["nn.LSTM", "LSTM auto", "LayerNormLSTM auto", "unseen auto"]
        mebibytes = {name: peak_on_gpu(Candidate(name, size, "cuda").step) for name in names}
        found = [
            (Ratio(name, "nn.LSTM", 1.5, 1.0, below=True), mebibytes[name] / mebibytes["nn.LSTM"]) for name in names[1:]
        ]
        report.figures(
            "cuda", f"cuda: T, B, I, H = {size}, peak of one training step", "MiB", mebibytes, found, size=size
        )
    seconds, found = {}, []
    for name in ("LayerNormLSTM compiled", "unseen compiled"):
        with tempfile.TemporaryDirectory() as cache:
            for attempt in ("first in all", "from the disk"):
                label = f"{name}, {attempt}"
                seconds[label] = apart.measured("first-call-on-gpu", name, FIRST_SIZE, cache=cache)
                found.append(
                    (
                        Ratio(label, "", *((15, 5) if attempt == "first in all" else (2, None)), below=True),
                        seconds[label],
                    )
                )
    report.figures("cuda", "cuda: the first training step beyond a usual one", "seconds", seconds, found)


def on_device(report: Report, given: argparse.Namespace, device: str, sizes: Sequence[Size], clock: Clock) -> None:
    """The table of a GPU, with the same precision of products for all candidates."""
    customs = ("LayerNormLSTM", "unseen")
    names = ["nn.LSTM", "nn.GRU", "LSTM auto", "GRU auto", "LSTM compiled", "GRU compiled"]
    names += [f"{cell} {engine}" for cell in customs for engine in ("auto", "reference")]
    precision = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.rnn.fp32_precision
    try:
        for size in sizes:
            aim = 1.5 if size.H == 64 else 1.0
            ratios = [Ratio("LSTM auto", "nn.LSTM", 1.0, aim), Ratio("GRU auto", "nn.GRU", 1.0, aim)]
            ratios += [Ratio("LSTM compiled", "nn.LSTM"), Ratio("GRU compiled", "nn.GRU")]
            ratios += [Ratio(f"{cell} auto", "nn.LSTM", 0.4, aim) for cell in customs]
            ratios += [Ratio(f"{cell} auto", f"{cell} reference") for cell in customs]
            for products, autocast in (("ieee", False), ("tf32", False), ("ieee", True)):
                torch.backends.cuda.matmul.fp32_precision = torch.backends.cudnn.rnn.fp32_precision = products
                section = f"cuda, {'bfloat16' if autocast else 'float32' if products == 'ieee' else 'TF32'}"
                compare(report, section, names, size, ratios, given, device=device, autocast=autocast, clock=clock)
    finally:
        torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.rnn.fp32_precision = precision


SECTIONS = {
    section.__name__: section for section in (engines, linear, cells, decoders, memory, compile, inference, cuda)
}
ONCE = ("memory", "compile", "cuda")
"""Sections that do not depend on the number of threads."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections")
    listed = "; ".join(f"{number}: {size}" for number, size in enumerate(SIZES))
    parser.add_argument(
        "--sizes", nargs="+", type=int, choices=range(len(SIZES)), default=range(len(SIZES)), help=listed
    )
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=30, help="for each table; the slow loops need some")
    parser.add_argument("--output", type=Path, default=Path("runs/bench"))
    given = parser.parse_args()
    print(", ".join(f"{name} {value}" for name, value in machine().items()))
    report = Report(given.output)
    for position, threads in enumerate(given.threads):
        torch.set_num_threads(threads)
        for name in given.only:
            if name not in ONCE or position == 0:
                SECTIONS[name](report, given)
    print(f"\nwritten to {given.output / 'engines.json'}")
    report.draw()


if __name__ == "__main__":
    main()
