"""Runs killed and files damaged at length; prints what survived: `make soak`.

    python scripts/soak.py --kills 40 --cases 1000

Every run below is killed with SIGKILL between any two writes, again and again, and compared with the same run left in
peace; every format is damaged at random (`tests/faults/kills.py`, `tests/faults/fuzz.py`). The tables are Markdown.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FAULTS = Path(__file__).parents[1] / "tests" / "faults"
SHORT = [
    *("trainer.max_epochs=3", "trainer.limit_train_batches=15", "trainer.limit_val_batches=2"),
    *("trainer.log_every_n_steps=4", "save_minutes=1e-9"),
]
SMALL_TEXT = ["model.hidden_size=16", "model.num_layers=1", "model.dropout=0.2", "data.lanes=4", "data.bptt_steps=16"]
RUNS = {
    "language modelling": ["data.path={text}", *SMALL_TEXT],
    "the same in bfloat16, averaged, accumulating, random windows": [
        *("data.path={text}", *SMALL_TEXT, "averaging=ema", "averaging.decay=0.9", "trainer.precision=bf16-mixed"),
        *("trainer.accumulate_grad_batches=2", "data.random_steps=true"),
    ],
    "the same with RMSprop, AutoClip, reduce-on-plateau, early stopping": [
        *("data.path={text}", *SMALL_TEXT, "optimizer=rmsprop", "clipping=percentile", "clipping.history=8"),
        *("schedule=reduce_on_plateau", "patience=5", "model/cell=gru"),
    ],
    "tagging with a CRF": ["task=tagging", "data=columns", "data.path={conll}", "data.scheme=bioes", "model.crf=true"],
    "classification of series": ["task=classification", "data=cylinder_bell_funnel", "model.hidden_size=16"],
    "regression": ["task=regression", "model.hidden_size=16"],
    "forecasting": ["task=forecasting", "model.hidden_size=16"],
}


def killed(name: str, overrides: list[str], kills: int, seed: int) -> dict[str, int]:
    """What `kills.py` counts for one run."""
    command = [sys.executable, str(FAULTS / "kills.py"), "--kills", str(kills), "--seed", str(seed), *overrides, *SHORT]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def resident(overrides: list[str], steps: int, folder: str) -> tuple[int, int]:
    """MiB of resident memory of a run after a tenth of its steps, and the most of its last tenth."""
    command = [sys.executable, "-m", "rnnkit", "train", *overrides, f"trainer.max_steps={steps}", f"run_dir={folder}"]
    command += [
        "trainer.max_epochs=-1",
        "trainer.enable_progress_bar=false",
        f"trainer.log_every_n_steps={steps // 100}",
    ]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    sizes: list[tuple[int, int]] = []  # of the steps that metrics.csv has
    while process.poll() is None:
        time.sleep(0.2)
        try:
            logged = Path(folder, "metrics.csv").read_text().rstrip().rpartition("\n")[2].partition(",")[0]
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            continue
        kib = next((line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")), None)
        if logged.isdigit() and kib:
            sizes.append((int(logged), int(kib) // 1024))
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    first = next(size for step, size in sizes if step >= steps // 10)
    return first, max(size for step, size in sizes if step >= steps - steps // 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=40, help="for each run")
    parser.add_argument("--cases", type=int, default=1000, help="damaged files of each format")
    parser.add_argument("--steps", type=int, default=20_000, help="of the runs whose memory is watched")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.path.insert(0, str(FAULTS))
    import fuzz

    print(
        "| run | kills | begun again | resumed | bytes of the weights that differ | points of the curves that differ |"
    )
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        files = {"text": Path(folder, "text.txt"), "conll": Path(folder, "entities.conll")}
        files["text"].write_bytes(b"the river runs to the sea and the sea is never full\n" * 400)
        files["conll"].write_bytes(fuzz.COLUMNS * 400)
        for name, overrides in RUNS.items():
            found = killed(name, [item.format(**files) for item in overrides], given.kills, given.seed)
            print("|", " | ".join(map(str, [name, *found.values()])), "|", flush=True)
        print("\n| run | steps | MiB after a tenth of them | MiB at the end, at most |\n|---|---|---|---|")
        for name in ("language modelling", "tagging with a CRF", "classification of series"):
            overrides = [item.format(**files) for item in RUNS[name]]
            sizes = resident(overrides, given.steps, str(Path(folder, "flat" + name)))
            print("|", " | ".join(map(str, [name, given.steps, *sizes])), "|", flush=True)
    done = subprocess.run(
        [sys.executable, str(FAULTS / "fuzz.py"), "--cases", str(given.cases), "--seed", str(given.seed)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    print("\n| damaged | read | refused with a message | failed |\n|---|---|---|---|")
    for line in done.stdout.splitlines():
        counts = json.loads(line)
        print("|", " | ".join([counts["kind"], *(str(counts.get(k, 0)) for k in ("read", "refused", "failed"))]), "|")
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
