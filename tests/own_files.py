"""Small files of the names that the pages give a reader's own, each as its page says that it looks."""

import csv
import datetime
import math
import random
import wave
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

WORDS = {"the": "DET", "a": "DET", "river": "NOUN", "sea": "NOUN", "Anna": "PROPN", "Oslo": "PROPN", "sees": "VERB"}
CORES = {"Anna": "B-PER", "Oslo": "B-LOC"}
REVIEWS = {5: "a very good film", 4: "good enough", 2: "rather dull", 1: "a dull and bad film"}


def write_own(name: str, folder: Path) -> None:
    """Write the file or folder of that name; KeyError for one that no page has had before."""
    random.seed(name)
    WRITERS[name](folder / name)


def _table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def _load(path: Path) -> None:
    start = datetime.datetime(2024, 1, 1)
    hours = ((start + datetime.timedelta(hours=n), 5 + math.sin(n / 4), 9 + math.cos(n / 4)) for n in range(1200))
    _table(path, ["time", "north", "south"], hours)


def _report(path: Path) -> None:
    start = datetime.datetime(2024, 1, 1)
    hours = ((f"{start + datetime.timedelta(hours=n):%Y-%m-%d %H:%M}", 2 + math.sin(n / 4)) for n in range(1200))
    _table(path, ["Datetime (UTC)", "CO(GT)"], hours)


def _sales(days: int, to_come: int = 0) -> Callable[[Path], None]:
    """Rows as on the page: two shops, one missing number, and behind the last day of sales those that are known."""

    def write(path: Path) -> None:
        header = ["shop", "day", "sold", "price", "holiday", "region"]
        rows = []
        for n in range(days + to_come):
            day = datetime.date(2024, 1, 1) + datetime.timedelta(days=n)
            holiday = "yes" if n % 7 == 6 else "no"
            sold = "" if n >= days else str(12 + n % 7)
            rows.append(["north", day, sold, 1.99, holiday, "coast"])
            rows.append(["south", day, "" if n == 3 else sold, 2.49, holiday, "hills"])
        _table(path, header, rows)

    return write


def _sentences() -> list[list[str]]:
    return [random.choices(list(WORDS), k=random.randint(2, 7)) for _ in range(30)]


def _conllu(*, tagged: bool) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        parts = []
        for words in _sentences():
            tags = [WORDS[word] if tagged else "_" for word in words]
            lines = (
                f"{n}\t{word}\t{word.lower()}\t{tag}\t{tag[0]}\t_\t_\t_\t_\t_"
                for n, (word, tag) in enumerate(zip(words, tags, strict=True), 1)
            )
            parts.append("\n".join(["# text = " + " ".join(words), *lines]))
        path.write_text("\n\n".join(parts) + "\n\n")

    return write


def _columns(*, tagged: bool) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        parts = ["\n".join(f"{w} {CORES.get(w, 'O')}" if tagged else w for w in words) for words in _sentences()]
        path.write_text("\n\n".join(parts) + "\n\n")

    return write


def _vectors(path: Path) -> None:
    path.write_text("".join(f"{word} {' '.join(['0.5'] * 100)}\n" for word in WORDS))


def _reviews(*, rated: bool) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        header = ["review", "stars"] if rated else ["review"]
        rows = [(text, stars) if rated else (text,) for stars, text in REVIEWS.items()] * 15
        _table(path, header, rows)

    return write


def _sensors(path: Path) -> None:
    rows = [(run, run % 3 + step, 20 - step, "stuck" if run % 3 else "none") for run in range(40) for step in range(9)]
    _table(path, ["run", "pressure", "heat", "fault"], rows)


def _engines(path: Path) -> None:
    rows = [(name, step**1.5, 20 - step, 12 - step) for name in range(30) for step in range(12)]
    _table(path, ["engine", "pressure", "heat", "hours_left"], rows)


def _recordings(folder: Path) -> None:
    folder.mkdir()
    for n in range(40):
        word, pitch = ("yes", 300) if n % 2 else ("no", 800)
        with wave.open(str(folder / f"{word}_{n}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            values = (int(9000 * math.sin(math.tau * pitch * t / 8000)) + n for t in range(1200 + 40 * n))
            file.writeframes(b"".join(value.to_bytes(2, "little", signed=True) for value in values))


LEAKY = """
import torch
from torch import nn
from rnnkit.cells import Cell


class {name}(Cell):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.input_map = nn.Linear(input_size, hidden_size)
        self.recurrent_map = nn.Linear(hidden_size, hidden_size, bias=False)

    def initial_state(self, batch_size):
        return self.input_map.weight.new_zeros(batch_size, self.output_size)

    def forward(self, x_BI, h_BH):
        h_BH = 0.7 * h_BH + 0.3 * torch.tanh(self.input_map(x_BI) + self.recurrent_map(h_BH))
        return h_BH, h_BH
"""


def write_package(folder: Path) -> None:
    """The package `my_lab` with a cell by each name of the pages, and a folder of choices with two of them."""
    choices = folder / "my_lab" / "conf" / "model" / "cell"
    choices.mkdir(parents=True)
    cells = "".join(LEAKY.format(name=name) for name in ("Leaky", "MinimalGatedCell", "MyCell"))
    (folder / "my_lab" / "cells.py").write_text(cells)
    (folder / "my_lab" / "__init__.py").touch()
    for choice, name in (("mgu", "MinimalGatedCell"), ("mine", "MyCell")):
        (choices / f"{choice}.yaml").write_text(f"_target_: my_lab.cells.{name}\n_partial_: true\n")


WRITERS: dict[str, Callable[[Path], None]] = {
    "load.csv": _load,
    "report (1).csv": _report,
    "sales.csv": _sales(300),
    "sales_until_today.csv": _sales(40, to_come=7),
    **dict.fromkeys(("train.conllu", "dev.conllu", "test.conllu", "all.conllu"), _conllu(tagged=True)),
    "raw.conllu": _conllu(tagged=False),
    "ner.txt": _columns(tagged=True),
    **dict.fromkeys(("raw.txt", "tokens.txt"), _columns(tagged=False)),
    "glove.6B.100d.txt": _vectors,
    "reviews.csv": _reviews(rated=True),
    **dict.fromkeys(("new.csv", "new_reviews.csv", "log.csv"), _reviews(rated=False)),
    "sensors.csv": _sensors,
    "engines.csv": _engines,
    "recordings": _recordings,
}
TRAINED_ON = {
    **dict.fromkeys(("new.csv", "new_reviews.csv", "log.csv"), "reviews.csv"),
    "sales_until_today.csv": "sales.csv",
    "raw.conllu": "all.conllu",
    **dict.fromkeys(("raw.txt", "tokens.txt"), "ner.txt"),
}
"""A new file, and what the model that it is for has learned from."""
