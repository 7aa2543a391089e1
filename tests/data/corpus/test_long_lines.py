"""One line of a file without end: every reader ends in a result or in one short message that names the file, soon."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rnnkit.data import ForecastData, SeriesLabelData, TagData, TextLabelData
from rnnkit.errors import UserError

ROWS = "text,label\n" + "".join(f"good {n},{'ab'[n % 2]}\n" for n in range(40))
OBJECTS = "".join(f'{{"text": "good {n}", "label": "{"ab"[n % 2]}"}}\n' for n in range(40))
WIDE = "".join(f"{n % 2},{n}.5,{n * n},3\n" for n in range(40))
LONG = "who,t,x,label\n" + "".join(f"s{n // 2},{n % 2},{n * 1.5},{'ab'[n // 2 % 2]}\n" for n in range(80))
TS = "@classLabel true a b\n@data\n" + "1,2,3:4,5,6:a\n0,2,1:5,3,7:b\n" * 10
COLUMNS = "EU B-ORG\nrejects O\n\nOne O\ncall O\n\n" * 30
CONLLU = "1\tIt\tit\tPRON\tPRP\t_\t2\tnsubj\t_\t_\n2\truns\trun\tVERB\tVBZ\t_\t0\troot\t_\t_\n\n" * 30
TAGS = '{"tokens": ["a", "b"], "tags": ["X", "Y"]}\n' * 40
DAYS = "date,a,b\n" + "".join(f"2024-0{1 + day // 28}-{1 + day % 28:02},{day}.5,{day * day}\n" for day in range(54))
SERIES = "".join(f"s{k}," + ",".join(str(k * n % 7) for n in range(40)) + "\n" for k in range(6))

Make = Callable[[Path], TextLabelData | SeriesLabelData | TagData | ForecastData]


def texts(path: Path) -> TextLabelData:
    return TextLabelData(path=path, split={"test_fraction": 0})


def wide(path: Path) -> SeriesLabelData:
    return SeriesLabelData(
        path=path, split={"test_fraction": 0}, layout="wide", table={"header": False}, target_column=0
    )


def long(path: Path) -> SeriesLabelData:
    return SeriesLabelData(path=path, split={"test_fraction": 0}, id_column="who", step_column="t")


def series(path: Path) -> SeriesLabelData:
    return SeriesLabelData(path=path, split={"test_fraction": 0})


def tags(path: Path) -> TagData:
    return TagData(path=path)


def days(path: Path) -> ForecastData:
    return ForecastData(path=path, context=8, horizon=2)


def rows(path: Path) -> ForecastData:
    return ForecastData(path=path, context=8, horizon=2, layout="rows", table={"header": False})


def word(size: int) -> str:
    return "x" * size


def words(size: int) -> str:
    return "to be " * (size // 6)


def digits(size: int) -> str:
    return "9" * size


def values(size: int) -> str:
    return ",".join(["1.5"] * (size // 4))


def commas(size: int) -> str:
    return "," * size


def names(size: int) -> str:
    return ",".join(f"column {n:08}" for n in range(size // 16))


def deep(size: int) -> str:
    return "[" * size


FILES: dict[str, tuple[str, Make, Callable[[int], str], str, str]] = {
    # the name of a file, its reader, and the long part with what stands before and behind it
    "a text of one word": ("a.csv", texts, word, ROWS, ",a\n"),
    "a text of many words": ("a.csv", texts, words, ROWS, ",a\n"),
    "a label": ("a.csv", texts, word, ROWS + "so,", "\n"),
    "a row of cells": ("a.csv", texts, commas, ROWS, "\n"),
    "an open quote": ("a.csv", texts, words, ROWS + '"', "\n"),
    "a header of one name": ("a.csv", texts, word, "", ",label\n" + ROWS),
    "a header of names": ("a.csv", texts, names, "", "\n" + ROWS),
    "a text in an object": ("a.jsonl", texts, words, OBJECTS + '{"text": "', '", "label": "a"}\n'),
    "an object that does not end": ("a.jsonl", texts, words, OBJECTS + '{"text": "', "\n"),
    "brackets": ("a.jsonl", texts, deep, OBJECTS, "\n"),
    "a number in an object": ("a.jsonl", texts, digits, OBJECTS + '{"text": "a", "label": ', "}\n"),
    "a key": ("a.jsonl", texts, word, OBJECTS + '{"', '": 1, "label": "a"}\n'),
    "a wide series": ("a.csv", wide, values, "1,2\n0,2\n", "\n"),
    "a wide series alone": ("a.csv", wide, values, "", "\n"),
    "a cell of a wide series": ("a.csv", wide, digits, WIDE + "1,2,", ",3\n"),
    "the name of a long series": ("a.csv", long, word, LONG, ",0,1,a\n"),
    "the label of a long series": ("a.csv", long, word, LONG + "new,0,1,", "\n"),
    "another label of a long series": ("a.csv", long, word, LONG + "s0,9,1,", "\n"),
    "a value of a long series": ("a.csv", long, word, LONG + "new,0,", ",a\n"),
    "a channel in a .ts": ("a.ts", series, values, TS + "1,2,3:", ":a\n"),
    "a class in a .ts": ("a.ts", series, word, TS + "1:2:", "\n"),
    "a remark in a .ts": ("a.ts", series, words, "#", "\n" + TS),
    "a token": ("a.conll", tags, word, COLUMNS, " O\n\n"),
    "a tag": ("a.conll", tags, word, COLUMNS + "a B-", "\n\n"),
    "many columns": ("a.conll", tags, words, COLUMNS, "\n\n"),
    "a column without a tag": ("a.conll", tags, word, COLUMNS, "\n\n"),
    "a form in CoNLL-U": ("a.conllu", tags, word, CONLLU + "1\t", "\tit\tPRON\tPRP\t_\t2\tnsubj\t_\t_\n\n"),
    "a number in CoNLL-U": ("a.conllu", tags, digits, CONLLU, "\n\n"),
    "a comment in CoNLL-U": ("a.conllu", tags, words, "# ", "\n" + CONLLU),
    "a token in an object": ("a.jsonl", tags, word, TAGS + '{"tokens": ["', '"], "tags": ["X"]}\n'),
    "brackets for a sentence": ("a.jsonl", tags, deep, TAGS, "\n"),
    "a value of a table": ("a.csv", days, word, DAYS + "2024-03-01,", ",1\n"),
    "a number of a table": ("a.csv", days, digits, DAYS + "2024-03-01,", ",1\n"),
    "a date": ("a.csv", days, word, DAYS, ",1,1\n"),
    "a row of a table": ("a.csv", days, commas, DAYS, "\n"),
    "the names of a table": ("a.csv", days, names, "date,", "\n" + DAYS),
    "an open quote in a table": ("a.csv", days, words, DAYS + '"', "\n"),
    "a series in a row": ("a.csv", rows, values, SERIES + "new,", "\n"),
    "no values in a row": ("a.csv", rows, commas, SERIES + "new,", "\n"),
    "the name of a row": ("a.csv", rows, word, SERIES, ",1,2\n"),
}


def read(case: str, size: int, folder: Path) -> None:
    name, make, part, before, behind = FILES[case]
    path = folder / name
    with path.open("w") as file:
        file.write(before)
        file.write(part(size))
        file.write(behind)
    try:
        make(path).setup("fit")
    except UserError as error:
        assert len(str(error)) < 5000  # noqa: PT017  reading it is fine too
    finally:
        path.unlink()


@pytest.mark.timeout(120)  # in seconds; a quadratic reader takes hours
@pytest.mark.parametrize("case", FILES)
def test_a_line_of_two_million_bytes(case: str, tmp_path: Path) -> None:
    read(case, 2_000_000, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", FILES)
def test_a_line_of_a_hundred_million_bytes(case: str, tmp_path: Path) -> None:
    read(case, 100_000_000, tmp_path)
