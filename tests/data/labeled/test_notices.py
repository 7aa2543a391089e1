"""What labeled data leave out, repair or assume is printed with its number; what they cannot vouch for is refused."""

import io
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from rnnkit.cli import run
from rnnkit.data import AudioLabelData, SeriesLabelData, TextLabelData
from rnnkit.errors import UserError

ROWS = "good film,yes\nbad film,no\n" * 20
TS = "@classLabel true a b\n@data\n" + "1,2,3:a\n2,3,5:b\n" * 20
LONG = "id,t,v,label\n" + "".join(f"{i},{t},{i * t % 7},{'ab'[i % 2]}\n" for i in range(30) for t in range(4))


def text(folder: Path, content: str, name: str = "a.csv", **settings: Any) -> TextLabelData:
    (folder / name).write_text(content, encoding="utf-8")
    data = TextLabelData(path=folder / name, **settings)
    data.setup()
    return data


def series(folder: Path, content: str | dict[str, Any], name: str, **settings: Any) -> SeriesLabelData:
    if isinstance(content, dict):
        np.savez(folder / name, **content)
    else:
        (folder / name).write_text(content)
    data = SeriesLabelData(path=folder / name, **settings)
    data.setup()
    return data


def sound(path: Path, channels: int = 1, samples: int = 2000, rate: int = 8000) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        noise = np.random.default_rng(len(path.name)).normal(0, 3000, samples * channels)
        file.writeframes(noise.astype("<i2").tobytes())


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        ("a.csv", "text,label\n" + ROWS + ",yes\n \t ,no\n", "a.csv line 42, a.csv line 43"),
        ("a.tsv", "text\tlabel\n" + ROWS.replace(",", "\t") + "\tyes\n", "a.tsv line 42"),
        (
            "a.jsonl",
            '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n' * 20
            + '{"text": null, "label": "x"}\n{"text": "", "label": "x"}\n',
            "a.jsonl line 41, a.jsonl line 42",
        ),
    ],
)
def test_empty_texts_are_left_out_of_training_and_counted(
    name: str, content: str, lines: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = text(tmp_path, content, name)
    assert sum(map(len, data.splits.values())) == 40
    assert f"empty sequences, skipped: {lines.count('line')} ({lines})\n" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["ts", "npz", "lengths", "long", "wide"])
def test_series_without_a_value_are_left_out_and_counted(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = np.random.default_rng(0).normal(size=(20, 6, 2)), ["a", "b"] * 10
    nothing = np.where(np.arange(20)[:, None, None] == 3, np.nan, x)
    cases: dict[str, tuple[Any, str, dict[str, Any], str]] = {
        "ts": (TS + ":a\n?,?:b\n", "a.ts", {}, "2 (a.ts line 43, a.ts line 44)"),
        "npz": ({"x": nothing, "y": y}, "a.npz", {}, "1 (a.npz series 3)"),
        "lengths": ({"x": x, "y": y, "lengths": [6] * 19 + [0]}, "a.npz", {}, "1 (a.npz series 19)"),
        "long": (
            LONG + "30,0,NA,a\n30,1,na,a\n",
            "a.csv",
            {"id_column": "id", "step_column": "t"},
            "1 (a.csv line 122)",
        ),
        "wide": ("u,v,label\n" + "1,2,a\n2,4,b\n" * 20 + ",,a\n", "a.csv", {"layout": "wide"}, "1 (a.csv line 42)"),
    }
    content, name, settings, expected = cases[kind]
    data = series(tmp_path, content, name, **settings)
    assert f"empty sequences, skipped: {expected}\n" in capsys.readouterr().err
    assert not any(example.inputs.isnan().any() for split in data.splits.values() for example in split)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reviews")
    (folder / "a.csv").write_text("text,label\n" + ROWS)
    quick = ["model.hidden_size=4", "trainer.max_epochs=1", "trainer.enable_progress_bar=false"]
    data = ["task=classification", "data=labeled_text", f"data.path={folder}/a.csv"]
    assert run(["train", *data, *quick, f"run_dir={folder}/run"]) == 0
    return folder / "run"


def test_an_empty_text_is_answered_with_nothing_from_a_file_and_from_a_pipe(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every row has its answer, so that rows and answers stay side by side."""
    given = b'text\ngood film\n""\n  \nbad film\n'
    (tmp_path / "new.csv").write_bytes(given)
    capsys.readouterr()
    answers = []
    for source in (str(tmp_path / "new.csv"), "-"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given), encoding="ascii"))
        assert run(["predict", str(trained), "--input", source]) == 0
        printed = capsys.readouterr()
        answers.append([json.loads(line) for line in printed.out.splitlines()])
        assert "empty sequences, whose predictions are empty: 2 (" in printed.err
    assert [(row["id"], row["label"] is None, row["p_yes"] is None) for row in answers[0]] == [
        (0, False, False),
        (1, True, True),
        (2, True, True),
        (3, False, False),
    ]
    assert answers[1] == answers[0]


def test_a_byte_that_is_not_utf_8_has_one_rule_for_files_and_pipes(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("café", "caféþ"):
        given = f"text\ngood film\n{name}\n".encode("latin-1")
        (tmp_path / "new.csv").write_bytes(given)
        for source in (str(tmp_path / "new.csv"), "-"):
            piped = io.TextIOWrapper(io.BytesIO(given), encoding="ascii", errors="surrogateescape")  # in the C locale
            monkeypatch.setattr("sys.stdin", piped)
            capsys.readouterr()
            is_certain = name == "café"
            assert run(["predict", str(trained), "--input", source]) == (0 if is_certain else 2)
            message = capsys.readouterr().err
            assert "Windows-1252" in message if is_certain else "byte 0xe9" in message
            assert is_certain or "line 3" in message
            assert "data.table.encoding" in message


@pytest.mark.parametrize(
    ("content", "settings", "expected"),
    [
        ("text,label\n" + ROWS + "\n\n", {}, "empty lines, skipped: 2 (a.csv line 42, a.csv line 43)"),
        ("text,label\n" + ROWS + "fine,yes", {}, "no newline at the end, read as complete: 1 (a.csv line 42)"),
        ("text,label\n" + ROWS + "fine,Yes\n", {}, "classes that may be the same: 'Yes' (1) and 'yes' (16)"),
        ("text,label\n" + ROWS + "fine,rare\n", {}, "valid: classes no 2, yes 2; none of rare"),
        ("text,label\n" + ROWS, {}, "train: classes no 16, yes 16"),
        ("text,label\n" + ROWS, {"relabel": {"maybe": "x"}}, "data.relabel: no sequence has the label maybe"),
        ("text,label\n" + "a,1\nb,1.0\n" * 20, {}, "classes that may be the same: '1' (16) and '1.0' (16)"),
        ("id,text,label\n" + "7,a,x\n7,b,y\n" * 20, {"id_column": "id"}, "train: 1 id of more than one sequence: '7'"),
        ("text,label\n" + "a,1\nb,3\n" * 20, {"target": "number"}, "train: targets from 1 to 3, mean 2"),
    ],
)
def test_texts(
    content: str, settings: dict[str, Any], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text(tmp_path, content, **settings)
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("text,text,label\n" + "a,b,x\n", {}, r"one column 'text'; got 2 at a\.csv line 1.*Try: data\.text_column=0"),
        ("text,label\n" + ROWS + "fine,ye", {}, r"a file that is not truncated; got 'ye' at a\.csv line 42"),
        (
            ("text,label\n" + ROWS).replace("\n", "\r"),
            {},
            r"carriage returns .*Try: tr '\\r' '\\n' < a\.csv > new\.csv",
        ),
        ("text,label\n" + "a,1\nb,NA\n" * 9, {"target": "number"}, r"'NA' at a\.csv line 3; in all: 9 .*Try: numbers"),
        ("text,label\n" + "a,1\nb,1_0\n" * 9, {"target": "number"}, r"a number; got '1_0' at a\.csv line 3"),
        ("text,label\n" + "a,x\nb,\n" * 9, {}, r"one for every sequence; got none at a\.csv line 3; in all: 9 \("),
        ("text,label,who\na,x,\n", {"group_column": "who"}, r"a group for every text; got none at a\.csv line 2"),
    ],
)
def test_texts_that_cannot_be_vouched_for(content: str, settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        text(tmp_path, content, **settings)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a", "label": "x", "label": "y"}', r"a repeated key among text, label, label"),
        ('{"text": "a", "label": ["x"]}', r"text or a number for every sequence; got \['x'\] at a\.jsonl line 2"),
    ],
)
def test_objects_that_cannot_be_vouched_for(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        text(tmp_path, '{"text": "a", "label": "b"}\n' + line + "\n", "a.jsonl")


def test_classes_that_training_lacks_are_told_with_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\n" + ROWS)
    (tmp_path / "v.csv").write_text("text,label\na,maybe\nb,yes\nc,maybe\nd,often\n")
    with pytest.raises(UserError, match=r"in all 'maybe': 2 .*; 'often': 1 \(at v\.csv line 5\)") as raised:
        TextLabelData(train=tmp_path / "t.csv", valid=tmp_path / "v.csv").setup()
    assert "relabel" not in str(raised.value)  # what is none of the classes is not to be made one of them
    (tmp_path / "v.csv").write_text("text,label\na,YES\nb,No\n")
    with pytest.raises(UserError) as raised:
        TextLabelData(train=tmp_path / "t.csv", valid=tmp_path / "v.csv").setup()
    fix = str(raised.value).partition("Try: ")[2].strip('"')
    (override,) = OverridesParser.create().parse_overrides([fix])
    assert override.key_or_group == "data.relabel"
    TextLabelData(train=tmp_path / "t.csv", valid=tmp_path / "v.csv", relabel=override.value()).setup()  # type: ignore[arg-type]


def test_what_is_printed_about_like_classes_can_be_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = "text,label\n" + ROWS + "fine,Yes\nfine,YES\n"
    text(tmp_path, content)
    typed = capsys.readouterr().err.partition('"data.relabel=')[2].partition('"')[0]
    (override,) = OverridesParser.create().parse_overrides([f"data.relabel={typed}"])
    assert text(tmp_path, content, relabel=override.value()).task_kwargs["classes"] == ["yes", "no"]


@pytest.mark.parametrize(
    ("name", "content", "settings", "expected"),
    [
        ("a.ts", TS.replace("a b", "a b c"), {}, "headers that name a class no series has, 'c': 1 (a.ts)"),
        (
            "a.ts",
            "@dimensions 3\n" + TS,
            {},
            "headers with @dimensions 3 for series of 1 channels, ignored: 1 (a.ts)",
        ),
        (
            "a.csv",
            LONG + "0,9,1,a\n",
            {"id_column": "id"},
            "series whose rows are not adjacent, joined: 1 (a.csv line 122)",
        ),
        (
            "a.csv",
            LONG + "30,0,1,a\n30,9,1,a\n",
            {"id_column": "id", "step_column": "t"},
            "read as consecutive steps (data.gaps=true makes the distances an input): 1 (a.csv line 122)",
        ),
        (
            "a.csv",
            "u,v,label\n" + "1,2,a\n2,4,b\n" * 20 + "1,,a\n",
            {"layout": "wide"},
            "rows with empty cells at their end, read as shorter series: 1 (a.csv line 42)",
        ),
        (
            "a.csv",
            "id,v,left\n" + "".join(f"{n % 30},{n % 7},{n % 5}\n" for n in range(120)) + "0,1,NA\n",
            {"id_column": "id", "target_column": "left", "target": "curve"},
            " without a target, which are not part of the loss",
        ),
    ],
)
def test_series(
    name: str,
    content: str,
    settings: dict[str, Any],
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    series(tmp_path, content, name, **settings)
    assert expected in capsys.readouterr().err


def test_arrays_that_are_not_read_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).normal(size=(20, 6))
    series(tmp_path, {"x": x, "y": ["a", "b"] * 10, "length": [3] * 20}, "a.npz")
    assert "arrays with an unknown name, 'length', ignored: 1 (a.npz)\n" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["npz", "long"])
def test_small_changes_of_large_values_are_not_lost(kind: str, tmp_path: Path) -> None:
    """Values are as wide as the file has them until they are standardized."""
    v = 1e9 + np.sin(np.arange(120.0)).reshape(20, 6)
    if kind == "npz":
        data = series(tmp_path, {"x": v, "y": ["a", "b"] * 10}, "a.npz", split={"test_fraction": 0})
    else:
        rows = "".join(f"{n},{value!r},{'ab'[n % 2]}\n" for n in range(20) for value in v[n].tolist())
        data = series(tmp_path, "id,v,label\n" + rows, "a.csv", id_column="id", split={"test_fraction": 0})
    train = [int(example.id) for example in data.splits["train"]]
    expected = (v[train] - v[train].mean()) / v[train].std()
    found = np.stack([example.inputs[:, 0].numpy() for example in data.splits["train"]])
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.0, np.nan] * 10, r"one for every sequence; got none at a\.npz series 1; in all: 10"),
        (np.eye(2)[[0, 1] * 10], r"text or a number for every sequence; got array"),
    ],
)
def test_labels_that_are_none(y: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        series(tmp_path, {"x": np.random.default_rng(0).normal(size=(20, 6)), "y": y}, "a.npz")


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (
            LONG + ",0,1,a\n",
            {"id_column": "id"},
            r"data\.id_column: expected the series of every row; got none at a\.csv",
        ),
        (LONG + "30,0,1_000,a\n", {"id_column": "id"}, r"a number or an .*; got '1_000' at a\.csv line 122"),
        (LONG + "30,0,1,a\n30,1,1,\n", {"id_column": "id"}, r"the same in all rows .*Try: the target in every row"),
    ],
)
def test_series_that_cannot_be_vouched_for(
    content: str, settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        series(tmp_path, content, "a.csv", **settings)


def test_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("soundfile")
    for name in [f"{label}_{n}" for label in "ab" for n in range(10)]:
        sound(tmp_path / f"{name}.wav")
    sound(tmp_path / "a_stereo.wav", channels=2)
    sound(tmp_path / "a_short.wav", samples=20)
    (tmp_path / "a_1.flac").write_bytes(b"fLaC")
    (tmp_path / "notes.txt").write_text("x")
    AudioLabelData(path=tmp_path, target_pattern="^([^_]+)_").setup()
    printed = capsys.readouterr().err.replace(f"{tmp_path}/", "")
    assert "files other than .wav, skipped: 2 (a_1.flac, notes.txt)\n" in printed
    assert "recordings with 2 channels, averaged: 1 (a_stereo.wav)\n" in printed
    assert "recordings shorter than data.window_ms, padded with silence: 1 (a_short.wav)\n" in printed


def test_a_recording_that_is_cut_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("soundfile")
    sound(tmp_path / "a_0.wav")
    whole = (tmp_path / "a_0.wav").read_bytes()
    (tmp_path / "a_0.wav").write_bytes(whole[:-1000])
    with pytest.raises(UserError, match=r"complete sound files; got a_0\.wav, which lacks 1,000 of the bytes"):
        AudioLabelData(path=tmp_path, target_pattern="^([^_]+)_").setup()
