"""Runs killed, files damaged and engines compared at length; prints what survived: `make soak`.

    python scripts/soak.py --kills 40 --cases 1000
    python scripts/soak.py --differential 200000 --seed 1  # the engines alone

Every run below is killed with SIGKILL between any two writes, again and again, and compared with the same run left in
peace; every format is damaged at random (`tests/faults/kills.py`, `tests/faults/fuzz.py`), and so is one value of a
run folder (`tests/faults/altered.py`). Random calls of every engine are compared with the Python loop
(`tests/engines/differential_soak.py`); Ctrl-C ends them early, with the table of what was seen until then. The tables
are Markdown.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from resident import watched, write_text

TESTS = Path(__file__).parents[1] / "tests"
FAULTS = TESTS / "faults"
SHORT = [
    *("trainer.max_epochs=3", "trainer.limit_train_batches=15", "trainer.limit_val_batches=2"),
    *("trainer.log_every_n_steps=4", "save_minutes=1e-9"),
]
SMALL_TEXT = ["model.hidden_size=16", "model.num_layers=1", "model.dropout=0.2", "data.lanes=4", "data.bptt_steps=16"]
RUNS = {
    "language modeling": ["data.path={text}", *SMALL_TEXT],
    "the same in bfloat16, averaged, accumulating, random windows": [
        *("data.path={text}", *SMALL_TEXT, "averaging=ema", "averaging.decay=0.9", "trainer.precision=bf16-mixed"),
        *("trainer.accumulate_grad_batches=2", "data.random_steps=true"),
    ],
    "the same with RMSprop, AutoClip, reduce-on-plateau, early stopping": [
        *("data.path={text}", *SMALL_TEXT, "optimizer=rmsprop", "clipping=percentile", "clipping.history=8"),
        *("schedule=reduce_on_plateau", "patience=5", "model/cell=gru"),
    ],
    "tagging with a CRF": ["task=tagging", "data=columns", "data.path={conll}", "data.scheme=bioes", "model.crf=true"],
    "tagging with two loader workers": ["task=tagging", "data=columns", "data.path={conll}", "data.workers=2"],
    "classification of series": ["task=classification", "data=cylinder_bell_funnel", "model.hidden_size=16"],
    "regression": ["task=regression", "model.hidden_size=16"],
    "forecasting": ["task=forecasting", "model.hidden_size=16"],
}


def killed(name: str, overrides: list[str], kills: int, seed: int) -> dict[str, int]:
    """What `kills.py` counts for one run, which is begun again until it has been killed often enough."""
    counts: Counter[str] = Counter()
    while counts["kills"] < kills:
        often = ["--kills", str(kills - counts["kills"]), "--seed", str(seed)]
        command = [sys.executable, str(FAULTS / "kills.py"), *often, *overrides, *SHORT]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr.strip().splitlines()[-1]}")
        found = json.loads(done.stdout.splitlines()[-1])
        counts = Counter({what: counts[what] + number for what, number in found.items()})
        seed += 1
    return dict(counts)


def large(gib: float, steps: int, folder: Path) -> None:
    """A table of runs on a text of so many GiB and, for comparison, on one of 16 MiB."""
    print("\n| text | level | s to read it | MiB until then | after a tenth of the steps | at the end | tokens/s |")
    print("|---|---|---|---|---|---|---|")
    for level in ("char", "byte"):
        for name, size in (("16 MiB", 1 << 24), (f"{gib:g} GiB", int(gib * 2**30))):
            text = folder / "large.txt"
            write_text(text, size)
            overrides = [f"data.path={text}", f"data.level={level}", "trainer.limit_val_batches=10"]
            found = watched(overrides, steps, folder / f"{level} {size}")
            text.unlink()
            print("|", " | ".join([name, level, f"{found.seconds:.0f}", *map(str, found[1:])]), "|", flush=True)


def alter(cases: int, seed: int) -> int:
    """A table of commands on so many altered runs of every task; the exit code."""
    command = [sys.executable, str(FAULTS / "altered.py"), "--cases", str(cases), "--seed", str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    print("| altered run | results | refused with a message | failed |\n|---|---|---|---|")
    for line in (line for line in done.stdout.splitlines() if line.startswith("{")):
        counts = json.loads(line)
        print("|", " | ".join([counts["kind"], *(str(counts.get(k, 0)) for k in ("read", "refused", "failed"))]), "|")
    print(flush=True)
    return done.returncode


def differential(examples: int, seed: int | None) -> int:
    """Compare the engines over so many random calls; the exit code."""
    command = [sys.executable, str(TESTS / "engines" / "differential_soak.py"), "--examples", str(examples)]
    command += [] if seed is None else ["--seed", str(seed)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # meant for both: it ends with its table
            continue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=40, help="for each run")
    parser.add_argument("--cases", type=int, default=1000, help="damaged files of each format")
    parser.add_argument("--steps", type=int, default=20_000, help="of the runs whose memory is watched")
    parser.add_argument("--corpus-gib", type=float, default=2, help="of a text that is trained on; 0 for none")
    parser.add_argument("--differential", type=int, help="compare the engines over so many random calls, nothing else")
    parser.add_argument("--seed", type=int, help="of what is random; 0, and a new one for the calls of engines")
    given = parser.parse_args()
    if given.differential is not None:
        raise SystemExit(differential(given.differential, given.seed))
    given.seed = given.seed or 0
    sys.path.insert(0, str(FAULTS))
    import fuzz

    print(
        "| run | kills | begun again | resumed | steps lost | differing bytes of the weights | points of the curves |"
    )
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        files = {"text": Path(folder, "text.txt"), "conll": Path(folder, "entities.conll")}
        files["text"].write_bytes(b"the river runs to the sea and the sea is never full\n" * 400)
        files["conll"].write_bytes(fuzz.COLUMNS * 400)
        for name, overrides in RUNS.items():
            found = killed(name, [item.format(**files) for item in overrides], given.kills, given.seed)
            print("|", " | ".join(map(str, [name, *found.values()])), "|", flush=True)
        print("\n| run | steps | MiB after a tenth of them | MiB at the end, at most |\n|---|---|---|---|")
        for name in ("language modeling", "tagging with a CRF", "classification of series"):
            overrides = [item.format(**files) for item in RUNS[name]]
            sizes = watched(overrides, given.steps, Path(folder, "flat" + name))
            print("|", " | ".join(map(str, [name, given.steps, sizes.first, sizes.last])), "|", flush=True)
        if given.corpus_gib:
            large(given.corpus_gib, 400, Path(folder))
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
    print(flush=True)
    altered = alter(given.cases // 3, given.seed)
    code = differential(2000, given.seed)
    if done.returncode or altered or code:
        raise SystemExit(done.returncode or altered or code)


if __name__ == "__main__":
    main()
