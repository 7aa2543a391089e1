"""Files damaged at random: each ends in a result or in a message, never in a traceback or a hang.

    python tests/faults/fuzz.py --cases 1000 --seed 0 [kind ...]

A small whole file of each kind is changed at a few places (bytes, lines, cells; cut short, doubled, filled with what
readers trip over) and read as the command would read it: data to the first batch, a checkpoint to its weights, a
configuration to the task that it describes. What is neither a result nor a `UserError`, or takes more than 20 s, is
counted as a failure and kept in the folder that is printed.
"""

import argparse
import gzip
import io
import json
import random
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

TRIPS = [
    *(b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r\n", b"\n\n", b"\t", b",", b",,,,", b";", b":", b'"', b'""'),
    *(b"'", b"\\", b"nan", b"NaN", b"inf", b"-inf", b"1e400", b"-", b"?", b"NA", b"9" * 400, b"{", b"}", b"[", b"]]"),
    *(
        b"null",
        b"@data",
        b"@",
        b"#",
        b"1-2",
        b"0.1",
        b"-1",
        b"true",
        b"\xe2\x82\xac",
        b"\xf0\x9f",
        b"\x1f\x8b",
        b"${x}",
    ),
    *(b"_target_: os.system", b"!!python/object/apply:os.system", b"2024-02-30", b"00:00", b"B-", b"I-X", b"\t\t\t\t"),
]
SECONDS = 20

CONLLU = b"""# text = It runs to the sea
1\tIt\tit\tPRON\tPRP\tNumber=Sing\t2\tnsubj\t_\t_
2-3\truns to\t_\t_\t_\t_\t_\t_\t_\t_
2\truns\trun\tVERB\tVBZ\t_\t0\troot\t_\t_
3\tto\tto\tADP\tIN\t_\t5\tcase\t_\t_
3.1\tx\tx\tX\t_\t_\t_\t_\t_\t_
4\tsea\tsea\tNOUN\tNN\t_\t2\tobl\t_\t_

"""
COLUMNS = b"Anna B-PER\nSmith I-PER\nruns O\n\n\t\nto O\n\n"
TEXTS = b'"good, really",pos\nbad,neg\nfine,pos\n"so ""so""",neg\n'
OBJECTS = b'{"text": "a b", "label": "x"}\n{"text": "c", "label": "y"}\n'
TS = (
    b"@problemName x\n@univariate false\n@classLabel true a b\n@data\n" + b"1,2,3,4:5,6,7,8:a\n0,2,1,4:5,3,7,9:b\n" * 10
)
LONG = "".join(f"{n},{t}.5,{t * n},{'xy'[n % 2]}\n" for n in range(20) for t in range(4))
DAYS = "".join(f"2024-0{1 + day // 28}-{1 + day % 28:02},{day}.5,{day * day}\n" for day in range(54) if day != 30)

SEQUENCES = {
    "text": ("task=language_modeling data.lanes=2 data.bptt_steps=8", "txt", b"the river runs to the sea\n" * 60),
    "conllu": ("task=tagging data=columns", "conllu", CONLLU * 20),
    "columns": ("task=tagging data=columns data.scheme=bioes", "conll", COLUMNS * 15),
    "tags.jsonl": ("task=tagging data=columns", "jsonl", b'{"tokens": ["a", "b"], "tags": ["X", "Y"]}\n' * 20),
    "labels.csv": ("task=classification data=labeled_text", "csv", b"text,label\n" + TEXTS * 10),
    "labels.jsonl": ("task=classification data=labeled_text", "jsonl", OBJECTS * 12),
    "series.ts": ("task=classification data=labeled_series", "ts", TS),
    "series.csv": (
        "task=classification data=labeled_series data.id_column=id",
        "csv",
        b"id,a,b,label\n" + LONG.encode(),
    ),
    "forecast.csv": (
        "task=forecasting data=series data.context=8 data.horizon=2 data.generator=null",
        "csv",
        b"date,a,b\n" + DAYS.encode(),
    ),
}
SEQUENCES["text.gz"] = (SEQUENCES["text"][0], "txt.gz", gzip.compress(SEQUENCES["text"][2]))


OF_RUNS = ("checkpoint", "config.yaml", "vocabulary.json")
"""Files of a run folder."""


def mutated(content: bytes, dice: random.Random) -> bytes:
    """The content, damaged at one to three places."""
    data = bytearray(content)
    for _ in range(dice.randint(1, 3)):
        if not data:
            break
        place = dice.randrange(len(data))
        end = min(len(data), place + int(dice.expovariate(1 / 20)))
        match dice.randrange(7):
            case 0:
                data[place] = dice.randrange(256)
            case 1:
                del data[place:end]
            case 2:
                data[place:place] = dice.choice(TRIPS)
            case 3:
                data[place:end] = dice.choice(TRIPS)
            case 4:
                data[place:place] = data[place:end] * dice.randint(1, 5)
            case 5 if dice.random() < 0.2:
                del data[place:]
            case _:  # a whole line, as people lose and double them
                lines = bytes(data).split(b"\n")
                line = dice.randrange(len(lines))
                lines[line : line + 1] = (
                    [lines[line]] * dice.choice((0, 2)) if dice.random() < 0.7 else [dice.choice(TRIPS)]
                )
                data = bytearray(b"\n".join(lines))
    return bytes(data)


def reader(kind: str, folder: Path) -> tuple[bytes, Callable[[bytes], object]]:
    """A whole file of a kind, and what reads a file like it."""
    if kind in OF_RUNS:
        return _run_reader(kind, folder)
    from hydra import compose, initialize_config_dir

    from rnnkit.cli.configuration import config_folder
    from rnnkit.training.configuration.construct import construct

    overrides, suffix, content = SEQUENCES[kind]
    path = folder / f"file.{suffix}"
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose(
            "train", [*overrides.split(), f"data.path={path}", "data.split.valid_fraction=0.3", "run_dir=none"]
        )

    def read(data: bytes) -> object:
        path.write_bytes(data)
        module = construct(config, "data")
        module.setup("fit")
        return next(iter(module.train_dataloader()))

    return content, read


def _run_reader(kind: str, folder: Path) -> tuple[bytes, Callable[[bytes], object]]:
    from rnnkit.cli import run
    from rnnkit.data import load_tokenizer
    from rnnkit.training import Run

    (folder / "corpus.txt").write_bytes(SEQUENCES["text"][2])
    sizes = [
        "model.hidden_size=4",
        "model.num_layers=1",
        "data.lanes=2",
        "data.bptt_steps=8",
        "callbacks.sample.length=0",
    ]
    quick = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.limit_val_batches=1"]
    assert run(["train", f"data.path={folder}/corpus.txt", *sizes, *quick, f"run_dir={folder}/run"]) == 0
    path = folder / "run" / ("checkpoints/best.ckpt" if kind == "checkpoint" else kind)

    def read(data: bytes) -> object:
        path.write_bytes(data)
        opened = Run.open(folder / "run")
        return opened.task(), load_tokenizer(opened.vocabulary_file)

    return path.read_bytes(), read


def attempt(read: Callable[[bytes], object], data: bytes) -> str:
    """ "read", "refused", or what went wrong."""
    from rnnkit.errors import UserError

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        read(data)
    except UserError:
        return "refused"
    except Exception:
        return traceback.format_exc()
    finally:
        signal.alarm(0)
    return "read"


def fuzz(kind: str, cases: int, seed: int, keep: Path) -> Counter[str]:
    """How many of so many damaged files of a kind were read, refused or failed on; the last are kept."""
    counts: Counter[str] = Counter()
    dice = random.Random(f"{kind} {seed}")
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content, read = reader(kind, Path(place))
        assert attempt(read, content) == "read", f"the whole {kind} is not read: {attempt(read, content)}"
        for case in range(cases):
            data = mutated(content, dice)
            result = attempt(read, data)
            counts[result if result in ("read", "refused") else "failed"] += 1
            if result not in ("read", "refused"):
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{kind}-{case}").write_bytes(data)
                (keep / f"{kind}-{case}.txt").write_text(result)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", default=[*SEQUENCES, *OF_RUNS])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir(), "rnnkit-fuzz"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    shutil.rmtree(given.keep, ignore_errors=True)
    output, sys.stdout = sys.stdout, io.StringIO()  # what the commands say
    found = {kind: fuzz(kind, given.cases, given.seed, given.keep) for kind in given.kinds}
    sys.stdout = output
    for kind, counts in found.items():
        print(json.dumps({"kind": kind, **counts}))
    failed = sum(counts["failed"] for counts in found.values())
    if failed:
        raise SystemExit(f"{failed} failures, kept in {given.keep}")


if __name__ == "__main__":
    main()
