"""Run folders with one altered value: each command ends in a result or in one message.

    python tests/faults/altered.py --cases 300 --seed 0 [task ...]

A small run of every task has one value of its config.yaml, of what its data learned or of its last checkpoint replaced,
removed or added, at any depth. Then it is evaluated, resumed and, where it can, predicts. All of it is in this process,
whose memory is limited, and a command has 20 s. Any exit code but 0 and 2 is a failure, which is printed.
"""

import argparse
import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import fuzz
import torch
import yaml

SECONDS = 20
GIB = 6
"""Of addresses beside those that are taken when the first command begins."""
LIMITS = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1", "model.hidden_size=4"]
SPLIT = "data.split.valid_fraction=0.3 data.split.test_fraction=0.2"
NUMBERS = b"text,label\n" + b"a x,0.5\nb y,0.25\nc z,2\n" * 12
RUNS = {
    "language_modeling": (
        "model.num_layers=1 data.lanes=2 data.bptt_steps=8 callbacks.sample.length=0",
        fuzz.SEQUENCES["text"][2],
        "txt",
    ),
    "averaged": (
        "model.num_layers=1 data.lanes=2 data.bptt_steps=8 callbacks.sample.length=0 data.random_steps=true "
        "averaging=ema patience=3 optimizer=rmsprop clipping=percentile schedule=reduce_on_plateau",
        fuzz.SEQUENCES["text"][2],
        "txt",
    ),
    "tagging": ("task=tagging data=columns data.split.valid_fraction=0.3", fuzz.SEQUENCES["conllu"][2], "conllu"),
    "classification": (f"task=classification data=labeled_text {SPLIT}", fuzz.SEQUENCES["labels.csv"][2], "csv"),
    "series": (
        f"task=classification data=labeled_series data.id_column=id {SPLIT}",
        fuzz.SEQUENCES["series.csv"][2],
        "csv",
    ),
    "regression": (f"task=regression data=labeled_text data.target=number {SPLIT}", NUMBERS, "csv"),
    "forecasting": (
        "task=forecasting data=series data.context=8 data.horizon=2 data.generator=null",
        fuzz.SEQUENCES["forecast.csv"][2],
        "csv",
    ),
}
HOSTILE: list[Any] = [
    *(None, True, False, "", "x", "nan", "/", "/proc", "/proc/1/cwd", "\0", "9" * 5000),
    *(-1, 0, 1, 2, 99, 10**9, 10**12, 2**62, 10**30, 0.5, -0.5, 1e30, float("inf"), float("nan")),
    *([], {}, [[]], ["x"], [1], [10**9], {"x": 1}, {"_target_": "torch.nn.Linear"}),
]


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in nested mappings and lists; of a long list the first, and of a tensor itself."""
    if place:
        yield place
    parts = (
        value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list | tuple) else ()
    )
    for name, part in parts:
        yield from places(part, (*place, name))


def hostile(value: Any, dice: random.Random, *, plain: bool) -> Any:
    """Something else in the place of a value."""
    if isinstance(value, torch.Tensor) and dice.random() < 0.8:
        make: list[Callable[[], Any]] = [
            lambda: torch.zeros(1, dtype=value.dtype).expand(10**11),
            lambda: value.to(torch.complex64),
            lambda: value.to(torch.int8),
            lambda: value.to(torch.bool),
            lambda: value[None],
            lambda: value.flatten()[:1],
            lambda: torch.zeros(0),
            lambda: value.to("meta"),
            lambda: value.to_sparse(),
            lambda: 3 * value,
        ]
        return dice.choice(make)()
    if isinstance(value, int | float) and not isinstance(value, bool) and dice.random() < 0.5:
        return dice.choice([value + 1, -value, value * 10**6, float(value), str(value), 10**18])
    other = dice.choice(HOSTILE)
    return str(other) if plain and isinstance(other, float) and other != other else other


def altered(value: Any, dice: random.Random, *, plain: bool = True) -> tuple[Any, str]:
    """The value with one place altered, and what was done."""
    value = _mutable(deepcopy(value))
    found = list(places(value))
    depth = dice.choice(sorted({len(place) for place in found}))  # else most would lie in the largest part
    *way, last = dice.choice([place for place in found if len(place) == depth])
    inner = value
    for name in way:
        inner = inner[name]
    what = ".".join(map(str, (*way, last)))
    match dice.randrange(8):
        case 0:
            del inner[last]
            return value, f"{what} removed"
        case 1 if isinstance(inner, dict):
            inner["x"] = inner[last]
            return value, f"{what} as x too"
        case _:
            inner[last] = hostile(inner[last], dice, plain=plain)
            return value, f"{what} = {str(inner[last])[:60]}"


def _mutable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _mutable(part) for name, part in value.items()}
    return [_mutable(part) for part in value] if isinstance(value, list | tuple) else value


def trained(task: str, folder: Path) -> Path:
    """The folder of a small run of a task."""
    from rnnkit.cli import run

    overrides, content, suffix = RUNS[task]
    path = folder / f"{task}.{suffix}"
    path.write_bytes(content)
    line = ["train", *overrides.split(), *LIMITS, f"data.path={path}", f"run_dir={folder / task}"]
    code, said = called(lambda: run(line))
    assert code == 0, said
    return folder / task


def called(command: Callable[[], int]) -> tuple[int | str, str]:
    """The exit code of a command, and what it printed; "late" where it takes too long."""

    def late(*_: object) -> None:
        raise TimeoutError

    said = io.StringIO()
    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            warnings.simplefilter("ignore")
            return command(), said.getvalue()
    except TimeoutError:
        return "late", said.getvalue()
    except BaseException:
        return "raised", said.getvalue() + traceback.format_exc()
    finally:
        signal.alarm(0)


def alter(kind: str, folder: Path, dice: random.Random) -> str:
    """Alter one value of a run in a folder; what was done."""
    from rnnkit.training.run import storage

    checkpoints = [folder / "checkpoints" / f"{name}.ckpt" for name in ("best", "last")]
    if kind == "config":
        config = yaml.safe_load((folder / "config.yaml").read_text())
        changed, what = altered(config, dice)
        (folder / "config.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
        return what
    found = storage.read(checkpoints[1])
    if kind == "checkpoint":
        state = {**found, "state_dict": dict(found["state_dict"])}
        changed, what = altered(state, dice, plain=False)
    else:  # what the data learned, beside checkpoints that do not tell it
        path = next(folder / name for name in ("data.json", "vocabulary.json") if (folder / name).exists())
        learned, what = altered(json.loads(path.read_text()), dice)
        path.write_text(json.dumps(learned))
        changed = {name: part for name, part in found.items() if name != "rnnkit"}
    for path in checkpoints:
        storage.write(changed, path)
    return what


KINDS = ("config", "learned", "checkpoint")


def commands(task: str, folder: Path) -> list[list[str]]:
    """What is done with a run, to go on for one epoch."""
    source = next(folder.parent.glob(f"{task}.*"))
    stream = task in ("language_modeling", "averaged")
    more = ["generate", str(folder), "--length", "3", "--prompt", "the"]
    predict = ["predict", str(folder), "--input", str(source), "--output", str(folder / "out.jsonl")]
    return [
        ["evaluate", str(folder)],
        more if stream else predict,
        ["resume", str(folder), "trainer.max_epochs=2"],
    ]


def alter_and_run(task: str, cases: int, seed: int, tell: Callable[[str], object] = print) -> Counter[str]:
    """How many commands on altered runs of a task gave a result, were refused or failed."""
    from rnnkit.cli import run

    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place, memory_limited():
        whole = trained(task, Path(place))
        kept = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
        for case in range(cases):
            dice = random.Random(f"{task} {seed} {case}")
            shutil.rmtree(whole)
            for path, content in kept.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            what = alter(KINDS[case % len(KINDS)], whole, dice)
            for line in commands(task, whole):
                began = time.monotonic()
                code, said = called(lambda line=line: run(line))
                messages = said.count("rnnkit: ")
                fine = code == 0 or (code == 2 and messages >= 1)
                counts[{0: "read", 2: "refused"}[code] if fine else "failed"] += 1
                if not fine:
                    spent = time.monotonic() - began
                    tell(f"{task} {seed} {case} {line[0]}: {what}: {code} after {spent:.1f} s: {said.strip()[-600:]}")
    return counts


@contextlib.contextmanager
def memory_limited() -> Iterator[None]:
    """What would take all memory gets a MemoryError in the block."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    if pages:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + GIB * 2**30, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", default=[*RUNS])
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="rnnkit-state-")
    failed = 0
    for task in given.tasks:
        counts = alter_and_run(task, given.cases, given.seed)
        failed += counts["failed"]
        print(json.dumps({"kind": f"altered {task}", **counts}), flush=True)
    if failed:
        raise SystemExit(f"{failed} failures")


if __name__ == "__main__":
    main()
