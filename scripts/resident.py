"""Resident memory of a training run, watched from outside; and a text of any size to train on."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

PARAGRAPHS = 1 << 14


class Watched(NamedTuple):
    """Of one run; sizes are in MiB."""

    seconds: float  # from the command to the end of reading, imports included
    reading: int  # the most until then
    first: int  # after a tenth of the steps
    last: int  # the most of the last tenth
    speed: int  # tokens a second


def watched(overrides: list[str], steps: int, folder: Path) -> Watched:
    """Train for so many steps and look at the process five times a second."""
    command = [sys.executable, "-m", "rnnkit", "train", *overrides, f"trainer.max_steps={steps}", f"run_dir={folder}"]
    command += [
        "trainer.max_epochs=-1",
        "trainer.enable_progress_bar=false",
        f"trainer.log_every_n_steps={steps // 100}",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    reading, seconds = 0, 0.0
    sizes: list[tuple[int, int]] = []  # of the steps that metrics.csv has
    while process.poll() is None:
        time.sleep(0.2)
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
            kib = {line.split()[0]: int(line.split()[1]) for line in status.splitlines() if line.startswith("Vm")}
            if not seconds:
                reading = kib.get("VmHWM:", reading * 1024) // 1024
                if (folder / "config.yaml").exists():  # what the data have told is in it
                    seconds = time.perf_counter() - started
            logged = (folder / "metrics.csv").read_text().rstrip().rpartition("\n")[2].partition(",")[0]
        except OSError:
            continue
        if logged.isdigit() and "VmRSS:" in kib:
            sizes.append((int(logged), kib["VmRSS:"] // 1024))
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    first = next(size for step, size in sizes if step >= steps // 10)
    last = max(size for step, size in sizes if step >= steps - steps // 10)
    summary = json.loads((folder / "summary.json").read_text())
    return Watched(seconds, reading, first, last, round(summary["time_steps_per_second"]))


def write_text(path: Path, size: int, seed: int = 0) -> None:
    """Write `size` bytes of made-up words, frequent and rare, in lines of a dozen."""
    dice = np.random.default_rng(seed)
    letters = np.frombuffer(b"etaoinshrdlucmfwypvbgkjqxz", np.uint8)
    words = [bytes(dice.choice(letters, dice.integers(1, 11))) for _ in range(20_000)]
    lines = [b" ".join(words[n % len(words)] for n in dice.zipf(1.2, 12)) + b".\n" for _ in range(PARAGRAPHS)]
    with path.open("wb") as file:
        while file.tell() < size:
            block = b"".join([lines[n] for n in dice.integers(0, PARAGRAPHS, PARAGRAPHS * 4).tolist()])
            file.write(block[: size - file.tell()])
