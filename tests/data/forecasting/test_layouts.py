"""Wide, long and ragged files; order, repetition and gaps in time; several files of the same series."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnkit.data import ForecastData
from rnnkit.data.forecasting.panel import Panel
from rnnkit.errors import UserError

HOURS = [str(time).replace("T", " ") for time in np.arange("2024-01-01T00", "2024-01-03T12", 1, "datetime64[h]")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "series.csv"


def write(path: Path, header: str, rows: list[Any]) -> Path:
    path.write_text("\n".join([header, *(row if isinstance(row, str) else ",".join(map(str, row)) for row in rows)]))
    return path


def made(**arguments: Any) -> ForecastData:
    data = ForecastData(**{"context": 4, "horizon": 2, **arguments})
    data.setup()
    return data


def panel(**arguments: Any) -> Panel:
    return made(**arguments).splits["train"].panel


def values(found: Panel, name: str) -> np.ndarray:
    return found.of_series(found.ids.index(name))


def test_wide_columns_are_channels_or_series(file: Path) -> None:
    x = np.arange(120.0).reshape(60, 2) ** 1.5
    write(file, "date,a,b", [(hour, *row) for hour, row in zip(HOURS, x.tolist(), strict=True)])
    data = made(path=file)
    assert data.splits["train"].panel.ids == [""]
    np.testing.assert_array_equal(values(data.splits["train"].panel, ""), x)
    assert data.task_kwargs == {"season": 24, "channels": ["a", "b"]}
    apart = made(path=file, multivariate=False)
    assert apart.splits["train"].panel.ids == ["a", "b"]
    np.testing.assert_array_equal(values(apart.splits["train"].panel, "b"), x[:, 1:])
    assert apart.task_kwargs["channels"] == ["value"]
    assert apart.model_kwargs["channels"] == 1
    one = made(path=file, target="b")
    np.testing.assert_array_equal(values(one.splits["train"].panel, ""), x[:, 1:])


def test_a_long_file_has_its_series_gathered(file: Path) -> None:
    rows = [(f"s{i % 3}", HOURS[i // 3], i, -i) for i in range(180)]
    write(file, "id,ds,y,z", rows)
    found = panel(path=file, id="id", time="ds", target=["y", "z"])
    assert found.ids == ["s0", "s1", "s2"]
    np.testing.assert_array_equal(values(found, "s1")[:, 0], np.arange(1.0, 180, 3))
    assert panel(path=file, id="id", time="ds", multivariate=False).ids == [
        f"{name}/{target}" for name in ("s0", "s1", "s2") for target in "yz"
    ]


def test_numbers_serve_as_names_of_series(file: Path) -> None:
    write(file, "id,t,y", [(id_, t, t) for id_ in ("007", "8") for t in range(30)])
    assert panel(path=file, id="id", time="t").ids == ["007", "8"]


def test_rows_of_unequal_length_and_the_file_that_goes_on(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", "V1,V2", ['"A",1,2,3,4,5,6,7,8,9', '"B",2,4,6,8,10,12,14,16,18,20,22,""'])
    test = write(tmp_path / "test.csv", "V1,V2", ["A,10,11", "B,24,26"])
    data = made(layout="rows", train=train, test=test, split={"valid_steps": 2})
    found = data.splits["train"].panel
    np.testing.assert_array_equal(values(found, "A")[:, 0], np.arange(1.0, 12))
    np.testing.assert_array_equal(values(found, "B")[:, 0], np.arange(2.0, 27, 2))
    last = {name: [(window.series, window.origin) for window in windows] for name, windows in data.splits.items()}
    assert last["test"] == [(0, 9), (1, 11)]
    assert last["valid"] == [(0, 7), (1, 9)]
    assert max(origin for _, origin in last["train"]) == 7


def test_files_that_go_on_in_time(tmp_path: Path) -> None:
    parts = {"train": (0, 40), "valid": (40, 50), "test": (50, 60)}
    files = {
        name: write(tmp_path / f"{name}.csv", "date,x", [(HOURS[i], i) for i in range(*part)])
        for name, part in parts.items()
    }
    data = made(**files)
    np.testing.assert_array_equal(values(data.splits["train"].panel, "")[:, 0], np.arange(60.0))
    assert [windows[0].origin for windows in data.splits.values()] == [4, 40, 50]
    assert [windows[-1].origin for windows in data.splits.values()] == [38, 48, 58]
    with pytest.raises(UserError, match=r"^data\.valid: expected times after those of data\.train, whose last is 2024"):
        made(train=files["train"], valid=files["train"])


def test_series_that_only_some_files_have(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", "id,t,x", [("a", t, t) for t in range(30)])
    test = write(tmp_path / "test.csv", "id,t,x", [("b", t, 10 + t % 3) for t in range(20)])
    data = made(train=train, test=test, id="id", time="t")
    assert [(window.series, window.origin) for window in data.splits["test"]] == [
        (1, origin) for origin in range(4, 19)
    ]
    assert {window.series for window in data.splits["train"]} == {0}
    batch = next(iter(data.test_dataloader()))
    assert batch.extra.location[0] == pytest.approx(np.mean([10, 11, 12, 10]))  # of the steps before its first window


def test_rows_out_of_order_are_refused_or_sorted(file: Path) -> None:
    order = [*range(30, 60), *range(30)]
    write(file, "date,x", [(HOURS[i], i) for i in order])
    with pytest.raises(
        UserError, match=r"^data\.time: .*2024-01-01 00 at .* line 32 after 2024-01-03 11.*data\.times\.sort=true"
    ):
        made(path=file)
    np.testing.assert_array_equal(values(panel(path=file, times={"sort": True}), "")[:, 0], np.arange(60.0))


def test_times_that_repeat_are_refused_or_made_one(file: Path) -> None:
    rows = [(HOURS[i], i, i) for i in range(60)]
    rows[11:11] = [(HOURS[10], 30, ""), (HOURS[10], "", "")]
    write(file, "date,x,y", rows)
    with pytest.raises(
        UserError, match=r"^data\.time: expected each time once; got .* again at .*line 13, first at .*line 12"
    ):
        made(path=file)
    for how, expected in (("first", [10, 10]), ("last", [np.nan, np.nan]), ("mean", [20, 10])):
        found = values(panel(path=file, times={"duplicates": how}), "")
        np.testing.assert_array_equal(found[10], expected)
        np.testing.assert_array_equal(np.delete(found, 10, 0)[:, 0], np.delete(np.arange(60.0), 10))


def test_the_same_time_in_two_series_is_no_repetition(file: Path) -> None:
    write(file, "id,date,x", [(name, hour, 1) for hour in HOURS for name in "ab"])
    assert len(panel(path=file, id="id")) == 2


def test_missing_rows_are_gaps_or_steps(file: Path) -> None:
    kept = [i for i in range(60) if i not in (10, 11, 12)]
    write(file, "date,x", [(HOURS[i], i) for i in kept])
    data = made(path=file, times={"fill_gaps": False})
    batch = data.collate(data.splits["train"])
    lane = batch.extra.origin.tolist().index(12)
    assert batch.inputs.time_deltas[lane].tolist() == [1, 1, 4, 1]
    assert data.season == 1  # a row a day before is not so many rows before
    filled = made(path=file)
    batch = filled.collate(filled.splits["train"])
    assert (batch.inputs.time_deltas == 1).all()
    found = values(filled.splits["train"].panel, "")[:, 0]
    np.testing.assert_array_equal(np.isnan(found).nonzero()[0], [10, 11, 12])
    assert len(found) == 60
    assert filled.season == 24


def test_dates_divide_the_splits(file: Path) -> None:
    write(file, "date,x", [(hour, i) for i, hour in enumerate(HOURS)])
    data = made(path=file, split={"valid_from": "2024-01-02", "test_from": "2024-01-03 00:00"})
    assert [windows[0].origin for windows in data.splits.values()] == [4, 24, 48]
    with pytest.raises(UserError, match=r"^data\.split\.test_from: expected a date; got 'Tuesday'"):
        made(path=file, split={"test_from": "Tuesday"})


def test_the_frequency_is_found_or_given(file: Path) -> None:
    write(file, "date,x", [(hour, i) for i, hour in enumerate(HOURS)])
    batch = next(iter(made(path=file, times={"frequency": "2h", "fill_gaps": False}).val_dataloader()))
    assert batch.inputs.time_deltas[0].tolist() == [0.5] * 4
    with pytest.raises(
        UserError, match=r"^data\.times\.frequency: expected most times of every series 2h apart; got 30 of 60"
    ):
        made(path=file, times={"frequency": "2h"})
    with pytest.raises(UserError, match=r"^data\.times\.frequency: expected one for time stamps; got '2'"):
        made(path=file, times={"frequency": "2"})
    with pytest.raises(UserError, match=r"^data\.times\.frequency: expected 1s, 15min, .*got 'hourly'"):
        ForecastData(path=file, times={"frequency": "hourly"})


def test_columns_that_are_not_read_are_told(file: Path) -> None:
    write(file, "when,x", [(f"day {i}", i) for i in range(60)])
    data = made(path=file, target="x")
    assert data.splits["train"].panel.frames[0].times is None
    assert "no time column (data.time): the steps are numbered; not read: when" in data.report


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "layout": ({"layout": "tall"}, r"^data\.layout: expected one of wide, long, rows, or null; got 'tall'"),
    "long without id": ({"layout": "long"}, r"^data\.id: expected the column that names the series"),
    "wide with id": ({"layout": "wide", "id": "k"}, r"^data\.layout: expected long if data\.id is set"),
    "duplicates": (
        {"times": {"duplicates": "drop"}},
        r"^data\.times\.duplicates: expected one of error, first, last, mean",
    ),
    "no such target": ({"target": "z"}, r"^data\.target: expected a column 'z'; got date, x, k at "),
    "no such time": ({"time": "when", "target": "x"}, r"^data\.time: expected a column 'when'"),
    "no such id": ({"id": "key", "target": "x"}, r"^data\.id: expected a column 'key'"),
    "no such covariate": (
        {"covariates": {"past": ["w"]}, "target": "x"},
        r"^data\.covariates\.past: expected a column 'w'",
    ),
    "words as target": ({"target": "k"}, r"^data\.target: expected a number.*'u' at .* line 2"),
    "words left over": (
        {},
        r"^data\.target: expected numbers in all columns.*'k' \('u' at .* line 2\).*data\.covariates\.past",
    ),
    "a column twice": (
        {"target": "x", "covariates": {"known": ["x"]}},
        r"^data\.target: expected one role for each column",
    ),
    "nothing left": (
        {"time": "date", "covariates": {"past": ["x", "k"]}},
        r"^data\.target: expected a column to forecast",
    ),
    "nothing to read": ({"path": None}, r"^data\.path: expected series to read; got nothing"),
    "too much to read": (
        {"train": "b.csv"},
        r"^data\.path: expected either data\.path or data\.train; got data\.train",
    ),
    "static that moves": (
        {"target": "x", "covariates": {"static": ["k"]}},
        r"^data\.covariates\.static: .*v at .* line 3 after u",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_columns_and_options_that_make_no_sense(mistake: str, file: Path) -> None:
    write(file, "date,x,k", [(hour, i, "uv"[i % 2]) for i, hour in enumerate(HOURS)])
    arguments, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message):
        made(**{"path": file, **arguments})


def test_a_series_twice_and_a_row_without_a_name(file: Path) -> None:
    write(file, "V1,V2", ["A,1,2", "B,1", "A,3"])
    with pytest.raises(
        UserError, match=r"^data\.path: expected each series in one row; got 'A' at .*line 2 and at .*line 4"
    ):
        made(path=file, layout="rows")
    write(file, "id,t,x", [("a", 1, 1), ("", 2, 1)])
    with pytest.raises(UserError, match=r"^data\.id: expected a name in every row of 'id'; got none at .*line 3"):
        made(path=file, id="id")


@pytest.mark.usefixtures("real_data")
def test_real_dirt_is_told_and_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Days run backwards within a year, and clock changes repeat an hour."""
    import os

    path = Path(os.environ["RNNKIT_DATA"]) / "electricity_pjm" / "AEP_hourly.csv.gz"
    with pytest.raises(UserError, match=r"data\.times\.sort=true"):
        made(path=path)
    with pytest.raises(UserError, match=r"again at .*line .*, first at .*line .*data\.times\.duplicates="):
        made(path=path, times={"sort": True})
    found = panel(path=path, times={"sort": True, "duplicates": "mean", "fill_gaps": True})
    times = found.frames[0].times
    assert times is not None
    assert len(times) == 1 + (times[-1] - times[0]) / np.timedelta64(1, "h")
    assert (~np.isnan(found.values)).sum() == 121_273 - 4
