"""Which columns are taken for times, which are asked about, and that forecasts carry on in the file's own writing."""

import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rnnkit.data import ForecastData
from rnnkit.errors import UserError
from rnnkit.predictions import ForecastPrediction

START = datetime(2024, 1, 30, tzinfo=UTC)
DAYS = [date(2023, 12, 30) + timedelta(days=i) for i in range(120)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "series.csv"


def wave(i: int) -> float:
    return round(10 + 3 * math.sin(i * 0.9) + (i * 7919 % 13) / 10, 3)


def made(path: Path, **arguments: Any) -> ForecastData:
    data = ForecastData(**{"path": path, "context": 8, "horizon": 3, **arguments})
    data.setup()
    return data


def following(data: ForecastData, path: Path) -> list[Any]:
    """The times of a forecast of three steps."""
    [window] = data.read_inputs(path)
    channels = len(data.task_kwargs["channels"])
    answer = ForecastPrediction([[0.0] * channels] * 3, {})
    return [row.get("time", row.get("step")) for row in data.rows(window, answer)][::channels]


def hours(form: str) -> list[str]:
    return [(START + timedelta(hours=i)).strftime(form) for i in range(100)]


def month(i: int) -> tuple[int, int]:
    return 2015 + i // 12, 1 + i % 12


# name of the column; its cells; the three that follow
CLOCKS: dict[str, tuple[str, list[Any], list[Any]]] = {
    "compact days": ("date", [f"{day:%Y%m%d}" for day in DAYS], ["20240428", "20240429", "20240430"]),
    "compact days by another name": ("v1", [f"{day:%Y%m%d}" for day in DAYS], ["20240428", "20240429", "20240430"]),
    "compact months": ("period", [f"{y}{m:02}" for y, m in map(month, range(100))], ["202305", "202306", "202307"]),
    "compact minutes": ("t0", hours("%Y%m%d%H%M"), ["202402030400", "202402030500", "202402030600"]),
    "seconds": ("ts", [int(START.timestamp()) + 60 * i for i in range(100)], [1706578800, 1706578860, 1706578920]),
    "seconds by another name": (
        "a",
        [int(START.timestamp()) + 60 * i for i in range(100)],
        [1706578800, 1706578860, 1706578920],
    ),
    "milliseconds": (
        "unix",
        [1_706_572_800_000 + 500 * i for i in range(100)],
        [1706572850000, 1706572850500, 1706572851000],
    ),
    "nanoseconds": (
        "time",
        [1_706_572_800_000_000_000 + 10**9 * i for i in range(100)],
        [1_706_572_900_000_000_000 + 10**9 * i for i in range(3)],
    ),
    "American": ("Day", [f"{day:%m/%d/%Y}" for day in DAYS], ["04/28/2024", "04/29/2024", "04/30/2024"]),
    "European": ("Datum", hours("%d.%m.%Y %H:%M"), ["03.02.2024 04:00", "03.02.2024 05:00", "03.02.2024 06:00"]),
    "noon and midnight": (
        "when",
        hours("%m/%d/%Y %I:%M %p"),
        ["02/03/2024 04:00 AM", "02/03/2024 05:00 AM", "02/03/2024 06:00 AM"],
    ),
    "months by name": (
        "Month",
        [date(*month(i), 1).strftime("%b-%y") for i in range(100)],
        ["May-23", "Jun-23", "Jul-23"],
    ),
    "quarters": ("q", [f"{2000 + i // 4}Q{1 + i % 4}" for i in range(99)], ["2024Q4", "2025Q1", "2025Q2"]),
    "weeks": (
        "week",
        [(date(2020, 12, 7) + timedelta(weeks=i)).strftime("%G-W%V") for i in range(56)],
        ["2022-W01", "2022-W02", "2022-W03"],
    ),
    "years": ("year", [1900 + i for i in range(100)], [2000, 2001, 2002]),
    "UTC": (
        "Datetime (UTC)",
        hours("%Y-%m-%d %H:%M:%S UTC"),
        ["2024-02-03 04:00:00 UTC", "2024-02-03 05:00:00 UTC", "2024-02-03 06:00:00 UTC"],
    ),
    "thousandths": (
        "x0",
        [f"2024-01-30T00:00:{i // 4:02}.{i % 4 * 250:03}Z" for i in range(100)],
        ["2024-01-30T00:00:25.000Z", "2024-01-30T00:00:25.250Z", "2024-01-30T00:00:25.500Z"],
    ),
    "days of the year": ("date", [f"{day:%Y%j}" for day in DAYS], ["2024119", "2024120", "2024121"]),
    "days of the year by another name": ("v1", [f"{day:%Y%j}" for day in DAYS], ["2024119", "2024120", "2024121"]),
    "all days of a leap year": ("date", [2024001 + i for i in range(366)], ["2025001", "2025002", "2025003"]),
    "days of the year behind a dash": ("x0", [f"{day:%Y-%j}" for day in DAYS], ["2024-119", "2024-120", "2024-121"]),
    "days of the year and a time": (
        "x0",
        hours("%Y-%jT%H:%M"),
        ["2024-034T04:00", "2024-034T05:00", "2024-034T06:00"],
    ),
    "days of short years": ("date", [f"{day:%y%j}" for day in DAYS], ["24119", "24120", "24121"]),
    "compact days of short years": ("date", [f"{day:%y%m%d}" for day in DAYS], ["240428", "240429", "240430"]),
    "compact days of the first years": (
        "day",
        [(date(2001, 1, 1) + timedelta(days=i)).strftime("%y%m%d") for i in range(1000)],
        ["030928", "030929", "030930"],
    ),
    "compact minutes of short years": ("time", hours("%y%m%d%H%M"), ["2402030400", "2402030500", "2402030600"]),
    "compact weeks": (
        "week",
        [(date(2020, 11, 30) + timedelta(weeks=i)).strftime("%G%V") for i in range(57)],
        ["202201", "202202", "202203"],
    ),
    "weeks without a dash": (
        "x0",
        [(date(2020, 12, 7) + timedelta(weeks=i)).strftime("%GW%V") for i in range(56)],
        ["2022W01", "2022W02", "2022W03"],
    ),
    "compact quarters": ("period", [f"{2000 + i // 4}{1 + i % 4}" for i in range(99)], ["20244", "20251", "20252"]),
    "serial days": ("date", [45292 + i for i in range(300)], [45592, 45593, 45594]),
    "numbered steps": ("step", list(range(5, 105)), [105, 106, 107]),
    "seconds since the start": ("time", [round(0.1 * i, 1) for i in range(100)], [10, 10.1, 10.2]),
}


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", CLOCKS)
def test_a_clock_is_recognized_and_goes_on(name: str, backwards: bool, file: Path) -> None:
    column, cells, expected = CLOCKS[name]
    rows = [f"{cell},{wave(i)}" for i, cell in enumerate(cells)]
    file.write_text("\n".join([f"{column},sold", *(rows[::-1] if backwards else rows)]) + "\n")
    data = made(file)
    assert data.task_kwargs["channels"] == ["sold"]
    assert data.splits["train"].panel.values[:, 0].tolist() == [wave(i) for i in range(len(cells))]
    assert [str(time) for time in following(data, file)] == [str(time) for time in expected]
    turned = "1 of 1 series were in descending order of time and were reversed"
    assert (turned in data.report) is backwards


def test_the_target_alone_does_not_hide_the_times(file: Path) -> None:
    file.write_text("Week,Gallons\n" + "".join(f"{day:%m/%d/%Y},{wave(i)}\n" for i, day in enumerate(DAYS[::-1])))
    data = made(file, target=["Gallons"])
    assert following(data, file) == ["04/28/2024", "04/29/2024", "04/30/2024"]


def test_dates_and_times_of_day_in_columns_of_their_own(file: Path) -> None:
    times = [START + timedelta(hours=i) for i in range(100)]
    rows = [f"{time:%d/%m/%Y};{time:%H.%M.%S};{wave(i)};" for i, time in enumerate(times)]
    file.write_text("\n".join(["Date;Time;NO2;", *rows, ";;;", ";;;"]) + "\n")
    for arguments in ({}, {"time": ["Date", "Time"]}):
        data = made(file, **arguments)
        assert data.task_kwargs["channels"] == ["NO2"]
        assert following(data, file)[0] == "2024-02-03 04:00:00"
        assert "2 empty rows at the end are skipped" in data.report
    rows = [f"{i + 1},{time.year},{time.month},{time.day},{time.hour},{wave(i)}" for i, time in enumerate(times)]
    file.write_text("\n".join(["No,year,month,day,hour,pm2.5", *rows]) + "\n")
    data = made(file)
    assert data.task_kwargs["channels"] == ["pm2.5"]
    assert following(data, file) == ["2024-02-03 04:00:00", "2024-02-03 05:00:00", "2024-02-03 06:00:00"]


def test_other_columns_that_count_time_are_not_forecast(file: Path) -> None:
    rows = [f"{i},{day},{day:%Y%m%d},{wave(i)}," for i, day in enumerate(DAYS)]
    file.write_text("\n".join([",date,key,sold,empty", *rows]) + "\n")
    data = made(file)
    assert data.task_kwargs["channels"] == ["sold"]
    assert "not forecast, because they also count time: 'key', ''" in data.report
    assert "not forecast, because they are empty: empty" in data.report


def ambiguous(i: int) -> str:
    return f"01/{1 + i % 12:02}/{2000 + i // 12}"


ASKED: dict[str, tuple[str, list[Any], str, str, dict[str, Any]]] = {
    "day or month": (
        "date",
        [ambiguous(i) for i in range(100)],
        r"^data\.times\.format: expected one format of the times in column 'date'",
        "data.times.format='%d/%m/%Y'",
        {"times": {"format": "%d/%m/%Y"}},
    ),
    "dates that there are not": (
        "date",
        [20240101 + i for i in range(60)],
        r"^data\.time: expected dates in column 'date', like its first; got 20240132 at .*line 33, which is not a date",
        "data.time=date data.times.format=number",
        {"times": {"format": "number"}, "time": "date"},
    ),
    "a day or a month": (
        "date",
        list(range(200101, 200113)),
        r"^data\.times\.format: ",
        "data.time=date \"data.times.format='%Y%m'\", or data.time=date \"data.times.format='%y%m%d'\"",
        {"time": "date", "times": {"format": "%y%m%d"}, "context": 2, "horizon": 1},
    ),
    "days of a short year or numbers": (
        "date",
        [24001 + i for i in range(300)],
        r"^data\.times\.format: ",
        "data.times.format='%y%j'",
        {"times": {"format": "%y%j"}},
    ),
    "days of a year or row numbers": (
        "t",
        [2024001 + i for i in range(300)],
        r"^data\.times\.format: ",
        "data.time=t \"data.times.format='%Y%j'\"",
        {"time": "t", "times": {"format": "%Y%j"}},
    ),
    "equal steps": (
        "a",
        list(range(7, 107)),
        r"^data\.time: .*whose column 'a' counts in equal steps: 7, 8, 9, \.\.\.",
        "data.time=a ",
        {"time": "a"},
    ),
    "like a clock": (
        "a",
        [1_706_572_800 + i * i for i in range(100)],
        r"^data\.time: .*whose column 'a' looks like time stamps",
        '"data.target=[x]" ',
        {"target": ["x"]},
    ),
    "a name": (
        "timestamp",
        [i * 37 % 101 for i in range(100)],
        r"^data\.time: .*whose column 'timestamp' is named like a time",
        '"data.target=[x]" ',
        {"target": ["x"]},
    ),
}


@pytest.mark.parametrize("question", ASKED)
def test_what_may_be_a_time_is_asked_about_and_the_answer_works(question: str, file: Path) -> None:
    column, cells, message, fix, answer = ASKED[question]
    file.write_text(f"{column},x\n" + "".join(f"{cell},{wave(i)}\n" for i, cell in enumerate(cells)))
    with pytest.raises(UserError, match=message) as error:
        made(file)
    assert fix in str(error.value)
    assert made(file, **answer).task_kwargs["channels"] == ["x"]


def test_plain_measurements_are_no_clock(file: Path) -> None:
    file.write_text("a,b\n" + "".join(f"{20_000_000 + i * 7919 % 997},{wave(i)}\n" for i in range(100)))
    data = made(file)
    assert data.task_kwargs["channels"] == ["a", "b"]
    assert following(data, file) == [101, 102, 103]


@pytest.mark.parametrize("names", [("n", "s"), (1, 2)])
def test_rows_of_several_series_are_told_by_the_column_that_names_them(names: tuple[Any, ...], file: Path) -> None:
    rows = [f"{shop},{day},{wave(i)},{wave(i + 1)}" for shop in names for i, day in enumerate(DAYS)]
    file.write_text("\n".join(["shop,date,x,y", *rows]) + "\n")
    with pytest.raises(UserError, match=r"Try: data\.id=shop"):
        made(file)
    assert made(file, id="shop").splits["train"].panel.ids == [str(name) for name in names]


def test_a_date_that_is_none_is_told_with_its_line(file: Path) -> None:
    file.write_text("date,x\n" + "".join(f"{day},{wave(i)}\n" for i, day in enumerate(DAYS[:50])) + "2024-02-30,1\n")
    with pytest.raises(UserError, match=r"^data\.time: .*'2024-02-30' at .*series\.csv line 52"):
        made(file)


def test_a_file_to_predict_may_write_its_times_in_another_way(file: Path, tmp_path: Path) -> None:
    file.write_text("date,x\n" + "".join(f"{day},{wave(i)}\n" for i, day in enumerate(DAYS)))
    data = made(file)
    other = tmp_path / "other.csv"
    other.write_text("date,x\n" + "".join(f"{day:%d.%m.%Y},{wave(i)}\n" for i, day in enumerate(DAYS)))
    assert following(data, other) == ["28.04.2024", "29.04.2024", "30.04.2024"]


def test_the_format_is_kept_with_a_trained_model(file: Path, tmp_path: Path) -> None:
    file.write_text("date,x\n" + "".join(f"{day:%Y%m%d},{wave(i)}\n" for i, day in enumerate(DAYS)))
    made(file).save(tmp_path)
    again = ForecastData(path=file, context=8, horizon=3)
    again.load(tmp_path)
    assert following(again, file) == ["20240428", "20240429", "20240430"]


def test_a_file_of_nothing_but_times_is_refused(file: Path) -> None:
    file.write_text("date,n\n" + "".join(f"{day},{i}\n" for i, day in enumerate(DAYS)))
    with pytest.raises(
        UserError, match=r"^data\.target: .*whose columns have times or are empty\. Try: \"data\.target=\[n\]\""
    ):
        made(file)
    assert made(file, target=["n"]).task_kwargs["channels"] == ["n"]
