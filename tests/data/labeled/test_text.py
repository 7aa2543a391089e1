"""Texts with labels: formats, splits, ids, what is refused."""

import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from rnnkit.batch import IGNORED
from rnnkit.data import TextLabelData
from rnnkit.errors import UserError
from rnnkit.predictions import ClassPrediction

WORDS = {"good": ["fine", "great", "warm"], "bad": ["poor", "grim", "cold"]}


def texts(number: int = 60) -> list[tuple[str, str]]:
    chance = random.Random(0)
    return [
        (" ".join(chance.choices(WORDS[label], k=chance.randint(1, 6))), label)
        for label in (["good", "bad"][n % 2] for n in range(number))
    ]


def written(path: Path, rows: list[tuple[Any, ...]], names: tuple[str, ...] | None = ("text", "label")) -> Path:
    gap = "\t" if ".tsv" in path.name else ","
    lines = [gap.join(map(str, row)) for row in ([names] if names else []) + rows]
    content = "\n".join(lines) + "\n"
    if ".jsonl" in path.name:
        content = "".join(json.dumps(dict(zip(names or (), row, strict=True))) + "\n" for row in rows)
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return path


def ready(**settings: Any) -> TextLabelData:
    data = TextLabelData(**settings)
    data.setup()
    return data


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.csv.gz", "a.jsonl.gz"])
def test_all_formats_say_the_same(name: str, tmp_path: Path) -> None:
    data = ready(path=written(tmp_path / name, texts()))
    said = {
        (data.tokenizer.decode(example.inputs), data.task_kwargs["classes"][example.target])
        for examples in data.splits.values()
        for example in examples
    }
    assert said == set(texts())
    assert {split: len(examples) for split, examples in data.splits.items()} == {"train": 48, "valid": 6, "test": 6}
    assert data.task_kwargs == {"classes": ["bad", "good"], "counts": [24, 24]}
    assert data.task == "classification"


def test_columns_by_number_without_a_header(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", [(label, text) for text, label in texts()], names=None)
    data = ready(path=path, table={"header": False}, text_column=1, target_column=0)
    assert data.task_kwargs["classes"] == ["bad", "good"]


def test_csv_is_quoted_and_tsv_is_not(tmp_path: Path) -> None:
    rest = "five,a\nsix,b\n" * 5
    (tmp_path / "a.csv").write_text('text,label\n"one, two\nthree",a\nfour,b\n' + rest)
    (tmp_path / "a.tsv").write_text('text\tlabel\n"one, two\ta\nfour\tb\n' + rest.replace(",", "\t"))
    for name, first in (("a.csv", "one, two\nthree"), ("a.tsv", '"one, two')):
        examples = [example for split in TextLabelData(path=tmp_path / name).read().values() for example in split]
        assert {example.inputs for example in examples} == {first, "four", "five", "six"}


def test_a_batch_is_padded_and_counted(tmp_path: Path) -> None:
    data = ready(path=written(tmp_path / "a.csv", texts()), level="char", batch_size=7)
    seen = 0
    for batch in data.train_dataloader():
        lengths = torch.full((len(batch.inputs),), batch.inputs.shape[1]) if batch.lengths is None else batch.lengths
        assert batch.inputs.dtype == torch.int64
        assert batch.num_valid_steps == int(lengths.sum())
        for ids, length, target in zip(batch.inputs, lengths, batch.targets, strict=True):
            words = set(data.tokenizer.decode(ids[:length]).split())
            assert words <= set(WORDS[data.task_kwargs["classes"][target]])
        seen += len(batch.targets)
    assert seen == 48


def test_only_the_training_split_makes_the_vocabulary(tmp_path: Path) -> None:
    train = written(tmp_path / "train.csv", texts())
    valid = written(tmp_path / "valid.csv", [("unheard", "good"), ("fine rare", "bad")])
    data = ready(train=train, valid=valid)
    assert data.tokenizer.missing("unheard fine") == ["unheard"]
    assert data.splits["valid"][0].inputs.tolist() == [data.tokenizer.unknown]
    assert ready(train=train, valid=valid, min_count=10**6).model_kwargs["vocabulary_size"] == 1


def test_what_is_cut_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ready(path=written(tmp_path / "a.csv", texts()), max_length=2)
    longer = sum(len(text.split()) > 2 for text, _ in texts())
    assert f"{longer} of 60 texts truncated to data.max_length=2" in capsys.readouterr().err
    assert max(len(example.inputs) for example in data.splits["train"]) == 2


def test_numbers_keep_the_units_of_the_file(tmp_path: Path) -> None:
    rows = [(f"w{n}", 10.0 + n % 7) for n in range(70)]
    data = ready(path=written(tmp_path / "a.csv", rows, ("text", "price")), target="number", target_column="price")
    train = torch.tensor([example.target for example in data.splits["train"]])
    assert data.task == "regression"
    assert data.model_kwargs["outputs"] == 1
    assert data.task_kwargs["location"] == pytest.approx(float(train.double().mean()))
    assert data.task_kwargs["scale"] == pytest.approx(float(train.double().std(unbiased=False)))
    targets = torch.cat([batch.targets for batch in data.train_dataloader()])
    assert targets.dtype == torch.float64
    assert targets.sort().values.equal(train.sort().values)


def test_groups_stay_together(tmp_path: Path) -> None:
    rows = [(text, label, f"person{n % 9}") for n, (text, label) in enumerate(texts(180))]
    path = written(tmp_path / "a.csv", rows, ("text", "label", "who"))
    for settings in ({}, {"split": {"test_groups": ["person3"]}}):
        data = ready(path=path, group_column="who", **settings)
        homes = [{example.group for example in examples} for examples in data.splits.values()]
        assert sum(map(len, homes)) == len(set.union(*homes)) == 9
    assert {example.group for example in data.splits["test"]} == {"person3"}


def test_labels_are_renamed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", [(text, n % 5 + 1) for n, (text, _) in enumerate(texts())])
    data = ready(path=path, relabel={1: "low", 5: "high", 4: "high"})
    assert data.task_kwargs["classes"] == ["low", "high", "2", "3"]
    data = ready(path=written(tmp_path / "b.csv", [(text, n % 12) for n, (text, _) in enumerate(texts(120))]))
    assert data.task_kwargs["classes"] == [str(n) for n in range(12)]  # as numbers, not as words


def test_what_was_learned_comes_back(tmp_path: Path) -> None:
    data = ready(path=written(tmp_path / "a.csv", texts()))
    data.save(tmp_path)
    again = TextLabelData(test=written(tmp_path / "other.csv", [("fine cold new", "good"), ("grim", "bad")]))
    again.load(tmp_path)
    again.setup("test")
    assert again.model_kwargs == data.model_kwargs
    assert again.task_kwargs == data.task_kwargs
    batch = next(iter(again.test_dataloader()))
    assert batch.targets.tolist() == [1, 0]
    assert data.tokenizer.decode(batch.inputs[0, :2]) == "fine cold"


def test_inputs_without_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ready(path=written(tmp_path / "a.csv", texts()))
    file = written(tmp_path / "in.jsonl", [("fine", 7), ("cold grim", 8)], ("text", "other"))
    from_file = list(data.read_inputs(file))
    assert [example.id for example in from_file] == [0, 1]
    assert data.collate(from_file).targets.tolist() == [IGNORED, IGNORED]
    monkeypatch.setattr("sys.stdin", io.StringIO('{"text": "fine"}\n{"text": "cold grim"}\n'))
    streamed = list(data.read_inputs(None))
    assert [example.inputs.tolist() for example in streamed] == [example.inputs.tolist() for example in from_file]
    monkeypatch.setattr("sys.stdin", io.StringIO("text\nfine\n"))
    assert next(data.read_inputs(None)).inputs.equal(from_file[0].inputs)
    rows = list(data.rows(from_file[1], ClassPrediction(1, [0.25, 0.75])))
    assert rows == [{"id": 1, "label": "good", "p_bad": 0.25, "p_good": 0.75}]


def test_a_stream_is_answered_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ready(path=written(tmp_path / "a.csv", texts()))
    asked = 0

    class Slow:
        def __iter__(self) -> Any:
            nonlocal asked
            for _ in range(3):
                asked += 1
                yield '{"text": "fine"}\n'

    monkeypatch.setattr("sys.stdin", Slow())
    arriving = data.read_inputs(None)
    next(arriving)
    assert asked == 1


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "empty": ("", {}, r"data.path: expected text"),
    "only a header": ("text,label\n", {}, r"expected at least one sequence; got none"),
    "no label column": (
        "text,kind\na,b\n",
        {},
        r"data.target_column: expected a column 'label'; got text, kind at a.csv",
    ),
    "no such number": (
        "a,b\n",
        {"table": {"header": False}, "text_column": 0, "target_column": 2},
        r"2 columns at a.csv line 1",
    ),
    "name without header": (
        "a,b\n",
        {"table": {"header": False}},
        r"data.text_column: expected the number of a column.*data.table.header=true",
    ),
    "too few cells": ("text,label\na,b\nc\n", {}, r"expected 2 columns in every row; got 1 at a.csv line 3"),
    "no label": ("text,label\na,b\nc,\n", {}, r"label: expected one for every sequence; got none at a.csv line 3"),
    "open quote": ('text,label\na,b\n"c,b\n', {}, r"expected rows of cells; got a.csv line 3"),
    "one class": ("text,label\n" + "a,b\n" * 9, {}, r"expected two classes or more; got only 'b'"),
    "no number": (
        "text,label\na,1\nb,x\n",
        {"target": "number"},
        r"target: expected a number; got 'x' at a.csv line 3",
    ),
    "one number": (
        "text,label\n" + "a,1\n" * 9,
        {"target": "number", "split": {"test_fraction": 0}},
        r"expected numbers that differ",
    ),
    "curve": ("text,label\na,1\n", {"target": "curve"}, r"data.target: expected label or number for TextLabelData"),
    "no such group": (
        "text,label\na,b\n",
        {"split": {"test_groups": ["x"]}},
        r"data.split.test_groups: expected some of no groups; got 'x'",
    ),
    "no validation": (
        "text,label\na,b\n",
        {"split": {"valid_fraction": 0}},
        r"data.split.valid_fraction: expected a number between 0 and 1",
    ),
    "all is test": (
        "text,label\na,b\n",
        {"split": {"test_fraction": 0.95}},
        r"data.split.test_fraction: expected 0, for no test split",
    ),
    "no level": ("text,label\na,b\n", {"level": "letter"}, r"data.level: expected one of char, byte, word"),
    "length": ("text,label\na,b\n", {"max_length": 0}, r"data.max_length: expected a whole number, 1 or more"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_ends_in_one_message(case: str, tmp_path: Path) -> None:
    content, settings, message = REFUSED[case]
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        ready(path=tmp_path / "a.csv", **settings)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"expected JSON lines; got a.jsonl line 2"),
        ("[1]", r"expected an object; got list at a.jsonl line 2"),
        ('{"text": "a"}', r"data.target_column: expected a key 'label'; got text at a.jsonl line 2"),
        ('{"text": 3, "label": "a"}', r"expected a text; got 3 at a.jsonl line 2"),
    ],
)
def test_bad_json_lines(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": "b"}\n' + line + "\n")
    with pytest.raises(UserError, match=message):
        ready(path=tmp_path / "a.jsonl")


def test_splits_that_do_not_go_together(tmp_path: Path) -> None:
    train = written(tmp_path / "train.csv", texts())
    known = r"valid split: expected labels of the training split: bad, good; got 'gud' at v.csv line 2."
    with pytest.raises(UserError, match=known + ' Try: "data.relabel={gud: good}"'):
        ready(train=train, valid=written(tmp_path / "v.csv", [("fine", "gud")]))
    with pytest.raises(UserError, match=r"data.test: expected another file than .* got the file of data.valid"):
        ready(train=train, valid=tmp_path / "v.csv", test=tmp_path / "v.csv")
    with pytest.raises(UserError, match=r"data.train: expected a training split; got data.test only"):
        ready(test=train)
    with pytest.raises(UserError, match=r"data.path: expected either data.path or data.train; got data.train too"):
        ready(path=train, train=train)
    with pytest.raises(UserError, match=r"data.path: expected files to read; got nothing"):
        ready()
    with pytest.raises(UserError, match=r"data.path: expected a text table.*; got 'a.xlsx', a spreadsheet"):
        ready(path=written(tmp_path / "a.xlsx", texts()))
    (tmp_path / "latin.csv").write_bytes(b"text,label\nc\xb3f\xe9,a\n")
    with pytest.raises(UserError, match=r"expected UTF-8 text; got .*latin.csv.*Try: data.table.encoding="):
        ready(path=tmp_path / "latin.csv")
    (tmp_path / "latin.csv").write_bytes(b"\xef\xbb\xbftext,label\r\n" + b"caf\xe9,a\r\nbar,b\r\n" * 5)
    as_bytes = ready(path=tmp_path / "latin.csv", level="byte", split={"test_fraction": 0})
    assert {tuple(example.inputs.tolist()) for example in as_bytes.splits["train"]} == {(*b"caf\xe9",), (*b"bar",)}
    rows = [(text, label, "me") for text, label in texts()]
    names = ("text", "label", "who")
    with pytest.raises(UserError, match=r"groups: expected each in only one split.*'me' in train and valid"):
        ready(
            train=written(tmp_path / "t2.csv", rows, names),
            valid=written(tmp_path / "v2.csv", rows, names),
            group_column="who",
        )


def test_without_a_validation_file_a_part_of_the_training_file_validates(tmp_path: Path) -> None:
    train = written(tmp_path / "train.csv", texts())
    test = written(tmp_path / "test.csv", [("fine", "good"), ("grim", "bad")])
    data = ready(train=train, test=test, split={"valid_fraction": 0.2})
    assert {name: len(examples) for name, examples in data.splits.items()} == {"train": 48, "valid": 12, "test": 2}
    assert {example.place.split()[0] for example in data.splits["valid"]} == {"train.csv"}


@pytest.mark.usefixtures("real_data")
def test_sst2_has_the_published_counts() -> None:
    data = ready(
        dataset="sst2", table={"header": False}, text_column=0, target_column=1, relabel={0: "negative", 1: "positive"}
    )
    assert {name: len(examples) for name, examples in data.splits.items()} == {
        "train": 6920,
        "valid": 872,
        "test": 1821,
    }
    assert data.task_kwargs == {"classes": ["negative", "positive"], "counts": [3310, 3610]}
