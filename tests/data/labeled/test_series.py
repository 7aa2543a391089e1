"""Series with labels: formats, standardization, missing values, what is refused."""

import io
import math
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnnkit.data import SeriesLabelData
from rnnkit.data.io.findings import Findings
from rnnkit.data.io.tables.format import TableFormat
from rnnkit.data.labeled.arrays import read_npz
from rnnkit.data.labeled.long import read_long
from rnnkit.data.labeled.ts import read_ts
from rnnkit.data.labeled.wide import read_wide
from rnnkit.errors import UserError
from rnnkit.predictions import CurvePrediction

TS = """#a remark
@problemName Toy
@timeStamps false
@classLabel true up down
@data
1,2,3:10,20,30:up
4,?:40,50:down
"""


def ready(**settings: Any) -> SeriesLabelData:
    data = SeriesLabelData(**settings)
    data.setup()
    return data


def many(number: int = 20, steps: int = 6, channels: int = 2) -> dict[str, Any]:
    values = np.random.default_rng(0).normal(3, 2, (number, steps, channels))
    return {"x": values, "y": np.array(["up", "down"])[np.arange(number) % 2]}


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_ts_with_channels_missing_values_and_lengths() -> None:
    first, second = read_ts(TS, "toy.ts", targets=True, argument="data.path")
    assert first.inputs.tolist() == [[1, 10], [2, 20], [3, 30]]
    assert np.array_equal(second.inputs, [[4, 40], [np.nan, 50]], equal_nan=True)
    assert [first.target, second.target] == ["up", "down"]
    assert second.place == "toy.ts line 7"
    unlabeled = TS.replace("true up down", "false").replace(":up", "").replace(":down", "")
    again = read_ts(unlabeled, "toy.ts", targets=False, argument="--input")
    assert [series.target for series in again] == [None, None]
    assert np.array_equal(again[1].inputs, second.inputs, equal_nan=True)


def test_ts_with_numbers_for_targets() -> None:
    (series,) = read_ts("@targetLabel true\n@data\n1,2:3.5\n", "a.ts", targets=True, argument="data.path")
    assert (series.inputs.tolist(), series.target) == ([[1], [2]], "3.5")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("@data\n", "", r"expected a .ts file with a line @data; got toy.ts without"),
        ("@data\n", "@\n", r"expected a .ts file with a line @data; got toy.ts without"),
        ("@timeStamps false", "@timeStamps true", r"expected a .ts file without time stamps"),
        ("@classLabel true up down", "@classLabel false", r"expected a .ts file with @classLabel true"),
        ("4,?:40,50:down", "4,5:down", r"expected 2 channels in every series; got 1 at toy.ts line 7"),
        ("4,?:40,50:down", "4,?:40:down", r"expected channels of one length .* got 2, 1 at toy.ts line 7"),
        ("4,?:", "4,x:", r"expected a finite number; got 'x' at toy.ts line 7"),
        ("4,?:", "4,inf:", r"expected a finite number; got 'inf' at toy.ts line 7"),
        (":down", ":sideways", r"expected one of the classes .*, up down; got 'sideways' at toy.ts line 7"),
        ("1,2,3:10,20,30:up\n4,?:40,50:down\n", "", r"expected a series after @data; got none in toy.ts"),
    ],
)
def test_bad_ts(old: str, new: str, message: str) -> None:
    assert old in TS
    with pytest.raises(UserError, match=message):
        read_ts(TS.replace(old, new), "toy.ts", targets=True, argument="data.path")


def test_npz_long_wide_and_ts_say_the_same(tmp_path: Path) -> None:
    arrays = many(channels=1)
    saved(tmp_path / "a.npz", **arrays)
    long = ["who,t,v,label"]
    wide, ts = [], ["@classLabel true up down", "@data"]
    for n, (x, y) in enumerate(zip(arrays["x"][..., 0], arrays["y"], strict=True)):
        long += [f"s{n},{t},{v!r},{y}" for t, v in enumerate(x.tolist())]
        wide.append(",".join([y, *map(repr, x.tolist())]))
        ts.append(",".join(map(repr, x.tolist())) + f":{y}")
    (tmp_path / "long.csv").write_text("\n".join(long))
    (tmp_path / "wide.csv").write_text("\n".join(wide))
    (tmp_path / "a.ts").write_text("\n".join(ts))
    as_npz = ready(path=tmp_path / "a.npz")
    others = [
        ready(path=tmp_path / "long.csv", id_column="who", step_column="t"),
        ready(path=tmp_path / "wide.csv", layout="wide", table={"header": False}, target_column=0),
        ready(path=tmp_path / "a.ts"),
    ]
    for other in others:
        assert other.task_kwargs == as_npz.task_kwargs == {"classes": ["down", "up"], "counts": [8, 8]}
        for name, examples in as_npz.splits.items():
            for ours, theirs in zip(examples, other.splits[name], strict=True):
                assert ours.target == theirs.target
                torch.testing.assert_close(ours.inputs, theirs.inputs)


def test_channels_have_mean_0_and_deviation_1_over_the_training_steps(tmp_path: Path) -> None:
    data = ready(path=saved(tmp_path / "a.npz", **many()))
    steps_NI = torch.cat([example.inputs for example in data.splits["train"]])
    torch.testing.assert_close(steps_NI.mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(steps_NI.std(0, unbiased=False), torch.ones(2))
    raw = SeriesLabelData(path=tmp_path / "a.npz").read()
    train_NI = np.concatenate([example.inputs for example in raw["train"]]).astype(np.float64)
    by_hand = (raw["test"][0].inputs - train_NI.mean(0)) / train_NI.std(0)
    np.testing.assert_allclose(data.splits["test"][0].inputs, by_hand, rtol=1e-5)


def test_constant_and_empty_channels_are_dropped_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = many(channels=4)
    arrays["x"][..., 1] = 5
    arrays["x"][..., 3] = np.nan
    data = ready(path=saved(tmp_path / "a.npz", **arrays))
    assert data.model_kwargs["input_size"] == 2
    assert "dropped: channel 1, 3 (from 0)" in capsys.readouterr().err


def test_missing_values_are_marked_and_never_filled_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = many()
    arrays["x"][::3, 2, 1] = np.nan
    data = ready(path=saved(tmp_path / "a.npz", **arrays))
    train = data.splits["train"]
    missing = sum(int(example.id) % 3 == 0 for example in train)  # type: ignore[arg-type]
    assert data.model_kwargs["input_size"] == 3
    assert f"{missing} of {sum(len(example.inputs) for example in train) * 2} values are missing in training" in (
        capsys.readouterr().err
    )
    for example in train:
        mask = example.inputs[:, 2]
        assert mask.tolist() == [0, 0, float(int(example.id) % 3 == 0), 0, 0, 0]  # type: ignore[arg-type]
        assert (example.inputs[:, 1][mask == 1] == 0).all()
    data.save(tmp_path)
    arrays["x"][0, 0, 0] = np.nan
    again = SeriesLabelData(test=saved(tmp_path / "b.npz", **arrays))
    again.load(tmp_path)
    with pytest.raises(UserError, match=r"expected no missing values in a channel .* got one in channel 0 .* series 0"):
        again.setup("test")
    assert ready(path=tmp_path / "a.npz", missing="mask_all").model_kwargs["input_size"] == 4


def test_unequal_lengths_are_padded_and_counted(tmp_path: Path) -> None:
    arrays = many(10)
    lengths = np.array([6, 3, 5, 1, 2, 6, 4, 4, 3, 2])
    data = ready(path=saved(tmp_path / "a.npz", **arrays, lengths=lengths), split={"test_fraction": 0}, batch_size=20)
    batch = next(iter(data.train_dataloader()))
    assert batch.lengths is not None
    assert sorted(batch.lengths.tolist()) == sorted(len(example.inputs) for example in data.splits["train"])
    assert batch.num_steps == int(batch.lengths.sum())
    for values, length in zip(batch.inputs, batch.lengths, strict=True):
        assert not values[length:].any()


def test_numbers_and_curves(tmp_path: Path) -> None:
    arrays = many(10)
    numbers = np.arange(10.0)
    data = ready(path=saved(tmp_path / "n.npz", x=arrays["x"], y=numbers), target="number", split={"test_fraction": 0})
    assert data.task == "regression"
    held = [example.target for example in data.splits["valid"]]
    assert sorted(next(iter(data.train_dataloader())).targets.tolist() + held) == numbers.tolist()
    curves = np.arange(60.0).reshape(10, 6)
    lengths = np.array([6, 3] * 5)
    path = saved(tmp_path / "c.npz", x=arrays["x"], y=curves, lengths=lengths)
    data = ready(path=path, target="curve", split={"test_fraction": 0}, batch_size=20)
    batch = next(iter(data.train_dataloader()))
    assert batch.targets.shape == (9, 6)
    assert batch.lengths is not None
    for curve, length in zip(batch.targets, batch.lengths, strict=True):
        assert torch.isnan(curve).tolist() == [step >= length for step in range(6)]
        assert curve[:length].diff().unique().tolist() == [1]
    train = [curves[int(e.id), : len(e.inputs)] for e in data.splits["train"]]  # type: ignore[arg-type]
    assert data.task_kwargs["location"] == pytest.approx(np.concatenate(train).mean())
    assert data.task_kwargs["scale"] == pytest.approx(np.concatenate(train).std())
    rows = list(data.rows(data.splits["train"][0], CurvePrediction([1.0, 2.5])))
    assert rows == [{"id": data.splits["train"][0].id, "step": step, "value": v} for step, v in enumerate((1.0, 2.5))]


LONG = ["who,t,x,z,label,g", "a,1,5,6,up,p", "b,1,7,8,down,q", "a,2,9,NA,up,p"]
COLUMNS = {"id": "who", "step": "t", "target": "label", "group": "g"}


def read_rows_of(lines: list[str], **settings: Any) -> list[Any]:
    usual: dict[str, Any] = {"curve": False, "targets": True, "argument": "data.path", "notes": Findings()}
    text = "\n".join(lines)
    return read_long(text, "a.csv", COLUMNS, settings.pop("channels", None), TableFormat(), **{**usual, **settings})


def test_long_tables() -> None:
    a, b = read_rows_of(LONG)
    assert np.array_equal(a.inputs, [[5, 6], [9, np.nan]], equal_nan=True)
    assert (a.id, a.target, a.group, a.place) == ("a", "up", "p", "a.csv line 2")
    assert (b.inputs.tolist(), b.target, b.group) == ([[7, 8]], "down", "q")
    assert [series.inputs.shape for series in read_rows_of(LONG, channels=["z"])] == [(2, 1), (1, 1)]
    no_targets = [line.replace(",label", "").replace(",up", "").replace(",down", "") for line in LONG]
    assert [series.target for series in read_rows_of(no_targets, targets=False)] == [None, None]
    curve = [line.replace("up", str(n)).replace("down", "9") for n, line in enumerate(LONG)]
    assert [series.target.tolist() for series in read_rows_of(curve, curve=True)] == [[1, 3], [9]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,1,5,6,up,p", r"expected ascending steps in every series; got 1 at a.csv line 5 after 2"),
        ("a,2,5,6,up,p", r"expected ascending steps .* got 2 at a.csv line 5 after 2"),
        ("a,?,5,6,up,p", r"expected ascending steps .* got . at a.csv line 5"),
        (
            "a,3,5,6,down,p",
            r"target: expected the same in all rows of a series; got 'down' at a.csv line 5 after 'up'",
        ),
        ("a,3,5,6,up,q", r"group: expected the same in all rows of a series; got 'q' at a.csv line 5"),
        ("a,3,five,6,up,p", r"expected a number .*; got 'five' at a.csv line 5"),
        ("a,3,5,6,up", r"expected 6 cells in every row.*; got 5 at a.csv line 5"),
    ],
)
def test_bad_long_tables(line: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_rows_of([*LONG, line])


def wide(line: str, **settings: Any) -> list[Any]:
    usual: dict[str, Any] = {"steps": None, "targets": True, "argument": "data.path"}
    return read_wide(line, "w.csv", 0, None, TableFormat(header=False), **{**usual, **settings})


def test_wide_tables() -> None:
    (series,) = wide("up,1,NaN,3,,")
    assert np.array_equal(series.inputs, [[1], [np.nan], [3]], equal_nan=True)
    assert series.target == "up"
    (alone,) = wide("1,2,3", targets=False, steps=3)
    assert alone.inputs.tolist() == [[1], [2], [3]]
    (labeled,) = wide("7,1,2,3", targets=False, steps=3)
    assert (labeled.inputs.tolist(), labeled.target) == ([[1], [2], [3]], None)
    (empty,) = wide("up,,,")
    assert empty.inputs.shape == (0, 1)


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((2, 3))}, r"expected arrays x and y; got x in a.npz"),
        (
            {"x": np.zeros(3), "y": [1, 2, 3]},
            r"expected x of numbers, \[N, T, I\] or \[N, T\]; got float64 of shape \(3,\)",
        ),
        ({"x": np.zeros((2, 3)), "y": [1]}, r"expected as many y as series, 2; got y of shape \(1,\)"),
        (
            {"x": np.zeros((2, 3)), "y": [1, 2], "lengths": [3, 4]},
            r"whole numbers from 0 to 3, .* as lengths; got 4 in a.npz",
        ),
        ({"x": np.zeros((2, 3)), "y": [1, 2], "lengths": [3, 2.5]}, r"whole numbers from 0 to 3.*got 2\.5 in a.npz"),
        ({"x": np.zeros((2, 3)), "y": [1, 2], "lengths": [3j, 1]}, r"as lengths; got complex128 of shape \(2,\)"),
        ({"x": np.zeros((2, 3)), "y": [1, 2], "lengths": [[1], [2]]}, r"as lengths; got int64 of shape \(2, 1\)"),
        ({"x": np.zeros((1, 3)), "y": [1], "lengths": 3}, r"as many lengths as series, 1; got lengths of shape \(\)"),
        ({"x": np.zeros((2, 3)) * 1j, "y": [1, 2]}, r"expected x of numbers.*got complex128"),
        ({"x": np.zeros((2, 3)), "y": [1, 2], "groups": [np.nan, 1]}, r"a group of every series; got NaN for series 0"),
        ({"x": np.array([[1, np.inf]]), "y": [1]}, r"expected finite values; got infinity in series 0"),
        (
            {"x": np.array([[1], [1, 2]], dtype=object), "y": [1, 2]},
            r"expected arrays of numbers and text; got objects",
        ),
    ],
)
def test_bad_npz(arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_npz(npz(**arrays), "a.npz", targets=True, argument="data.path")


def with_header(shape: str) -> bytes:
    """An `.npz` file of a few bytes whose array says that it has this shape."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00v\x00" + header.encode() + bytes(64))
    return file.getvalue()


def marked(value: int, *, central: int, local: int) -> bytes:
    """An `.npz` file with a byte changed in all its headers: at so many bytes from their beginning."""
    content = bytearray(npz(x=np.zeros((2, 3)), y=[1, 2]))
    for start, place in ((b"PK\1\2", central), (b"PK\3\4", local)):
        for found in re.finditer(re.escape(start), bytes(content)):
            content[found.start() + place] = value
    return bytes(content)


DAMAGED = {
    "empty": b"",
    "another": b"not a zip",
    "cut": npz(x=np.zeros((2, 3)))[:-30],
    "terabytes": with_header("(10000000000000, 5, 2)"),
    "more than any": with_header(f"({2**70}, 5, 2)"),
    "less than none": with_header("(-1, 5, 2)"),
    "nested": with_header("(" * 60),
    "encrypted": marked(1, central=8, local=6),
    "a compression unknown": marked(97, central=10, local=8),
    "a damaged LZMA": marked(14, central=10, local=8),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_npz(content: bytes) -> None:
    with pytest.raises(UserError, match=r"expected a complete .npz file; got a.npz"):
        read_npz(content, "a.npz", targets=True, argument="data.path")


def test_what_does_not_fit(tmp_path: Path) -> None:
    saved(tmp_path / "a.npz", **many())
    with pytest.raises(UserError, match=r"data.layout: expected long or wide; got 'broad'"):
        ready(path=tmp_path / "a.npz", layout="broad")
    with pytest.raises(UserError, match=r"data.missing: expected mask or mask_all; got 'fill'"):
        ready(path=tmp_path / "a.npz", missing="fill")
    with pytest.raises(UserError, match=r"expected 2 channels in every series; got 3 at b.npz series 0"):
        ready(train=tmp_path / "a.npz", test=saved(tmp_path / "b.npz", **many(channels=3)))
    with pytest.raises(UserError, match=r"expected a channel that changes in training; got none"):
        ready(path=saved(tmp_path / "c.npz", x=np.ones((9, 4)), y=[1, 2, 3] * 3))
    (tmp_path / "a.parquet").write_text("PAR1")
    with pytest.raises(UserError, match=r"expected a file that ends in .ts, .npz, .txt.*; got 'a.parquet'"):
        ready(path=tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"target: expected a number for every step; got \(\) for 6 steps"):
        ready(path=saved(tmp_path / "d.npz", x=many()["x"], y=np.arange(20.0)), target="curve")


def test_a_folder_of_tables_is_a_series_each(tmp_path: Path) -> None:
    for n in range(10):
        lines = ["x,label", *(f"{n * k},{'even' if n % 2 == 0 else 'odd'}" for k in range(4))]
        (tmp_path / f"s{n}.csv").write_text("\n".join(lines))
    (tmp_path / "notes.md").write_text("not a series")
    data = ready(path=tmp_path, split={"test_fraction": 0})
    assert sorted(str(example.id) for split in data.splits.values() for example in split) == [
        f"s{n}.csv" for n in range(10)
    ]


def test_what_was_learned_comes_back_and_inputs_are_read_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.npz", **many())
    data = ready(path=path)
    data.save(tmp_path)
    again = SeriesLabelData(path=path)
    again.load(tmp_path)
    again.setup("test")
    assert again.model_kwargs == data.model_kwargs
    assert all(
        ours.inputs.equal(theirs.inputs) for ours, theirs in zip(data.splits["test"], again.splits["test"], strict=True)
    )
    numbers = {int(example.id): example.inputs for example in data.splits["test"]}  # type: ignore[arg-type]
    read = {int(example.id): example for example in again.read_inputs(path)}  # type: ignore[arg-type]
    assert all(read[number].inputs.equal(inputs) for number, inputs in numbers.items())
    assert {example.target for example in read.values()} == {None}
    ts = "@classLabel false\n@data\n" + "\n".join(
        ":".join(",".join(map(repr, channel)) for channel in x.T.tolist()) for x in many()["x"]
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(ts))
    for n, example in enumerate(again.read_inputs(None)):
        torch.testing.assert_close(example.inputs, read[n].inputs)


@pytest.mark.usefixtures("real_data")
@pytest.mark.parametrize(
    ("name", "train", "test", "channels", "lengths", "classes"),
    [
        ("japanese_vowels", 270, 370, 12, (7, 29), 9),
        ("natops", 180, 180, 24, (51, 51), 6),
        ("basic_motions", 40, 40, 6, (100, 100), 4),
    ],
)
def test_the_archive_s_sets_have_the_published_counts(
    name: str, train: int, test: int, channels: int, lengths: tuple[int, int], classes: int
) -> None:
    data = ready(dataset=name, split={"valid_fraction": 0.2})
    sizes = {split: len(examples) for split, examples in data.splits.items()}
    assert sizes["train"] + sizes["valid"] == train
    assert sizes["test"] == test
    assert data.model_kwargs == {"input_size": channels, "outputs": classes}
    steps = [len(example.inputs) for split in data.splits.values() for example in split]
    assert (min(steps), max(steps)) == lengths
    per_class = np.bincount([example.target for example in data.splits["valid"]])
    assert len(per_class) == classes
    assert per_class.max() - per_class.min() <= 1


@pytest.mark.usefixtures("real_data")
def test_ecg5000_of_the_test_is_two_classes() -> None:
    data = ready(
        dataset="ecg5000",
        layout="wide",
        table={"header": False},
        target_column=0,
        relabel={1: "normal", **dict.fromkeys(range(2, 6), "abnormal")},
        relabel_test={0: "normal", 1: "abnormal"},
    )
    assert data.task_kwargs["classes"] == ["normal", "abnormal"]
    assert np.bincount([example.target for example in data.splits["test"]]).tolist() == [2627, 1873]
    both = [example.target for name in ("train", "valid") for example in data.splits[name]]
    assert np.bincount(both).tolist() == [292, 208]
    assert math.isclose(sum(data.task_kwargs["counts"]), 450, abs_tol=1)
