"""Spreadsheets, exports and logs in their own formats, read by every family without being rewritten."""

import gzip
import lzma
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnkit.cli import run
from rnnkit.data import ForecastData, SeriesLabelData, TagData, TextLabelData
from rnnkit.errors import UserError

DAYS = [datetime(2023, 12, 1) + timedelta(days=i) for i in range(90)]
HOURS = [datetime(2024, 3, 10) + timedelta(hours=i) for i in range(120)]


def load(i: int) -> float:
    return round(10 + 5 * np.sin(i / 3) + i / 50, 2)


def forecast(path: Any, **arguments: Any) -> ForecastData:
    data = ForecastData(**{"path": path, "context": 12, "horizon": 4, **arguments})
    data.setup()
    return data


def values(data: ForecastData) -> list[Any]:
    found: list[Any] = data.splits["train"].panel.frames[0].values[0].tolist()  # type: ignore[attr-defined]
    return found


def times(data: ForecastData) -> Any:
    return data.splits["train"].panel.frames[0].times  # type: ignore[attr-defined]


def german(number: float) -> str:
    return f"{number:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")


SPREADSHEETS: dict[str, tuple[str, Callable[[int], str], list[str]]] = {
    "German": ("Datum;Last", lambda i: f"{DAYS[i]:%d.%m.%Y};{german(1000 * load(i))}", ["Last"]),
    "quoted header": ('"day";"load, MW"', lambda i: f'"{DAYS[i]:%Y-%m-%d}";"{1000 * load(i):.2f}"', ["load, MW"]),
    "tabs": ("day\tload", lambda i: f"{DAYS[i]:%Y-%m-%d}\t{1000 * load(i):.2f}", ["load"]),
    "bars": ("day|load", lambda i: f"{DAYS[i]:%Y-%m-%d}|{1000 * load(i):.2f}", ["load"]),
    "thousands": ('day,load', lambda i: f'{DAYS[i]:%Y-%m-%d},"{1000 * load(i):,.2f}"', ["load"]),
    "blanks": ("day  load", lambda i: f"{DAYS[i]:%Y-%m-%d}  {1000 * load(i):.2f}", ["load"]),
    "no header": ("", lambda i: f"{DAYS[i]:%Y-%m-%d},{1000 * load(i):.2f}", ["1"]),
}  # fmt: skip


@pytest.mark.parametrize("spreadsheet", SPREADSHEETS)
def test_delimiters_and_marks_of_numbers_are_found(spreadsheet: str, tmp_path: Path) -> None:
    header, row, target = SPREADSHEETS[spreadsheet]
    path = tmp_path / "a.csv"
    path.write_text("\n".join([*([header] if header else []), *map(row, range(90))]) + "\n")
    data = forecast(path)
    assert data.task_kwargs == {"season": 7, "channels": target}
    np.testing.assert_allclose(np.ravel(values(data)), [1000 * load(i) for i in range(90)])
    assert times(data)[0] == np.datetime64("2023-12-01")


DATES = {
    "US": "%-m/%-d/%Y",
    "European": "%d.%m.%Y",
    "slashes": "%Y/%-m/%-d",
    "month names": "%d %b %Y",
    "whole month names": "%B %d, %Y",
    "compact": "%Y%m%d",
    "two digits": "%d-%b-%y",
    "a time of day": "%d/%m/%Y %H:%M",
}


@pytest.mark.parametrize("form", DATES)
def test_dates_are_found_where_they_are_unambiguous(form: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("date,sold\n" + "".join(f'"{day.strftime(DATES[form])}",{load(i)}\n' for i, day in enumerate(DAYS)))
    data = forecast(path)
    assert data.form.target == ["sold"]
    assert times(data).astype("datetime64[D]").tolist() == [day.date() for day in DAYS]
    again = forecast(path, times={"format": data.form.time_format})  # without data.time
    assert again.form.time == ["date"]


@pytest.mark.parametrize(
    ("written", "last"),
    [
        ([f"{2000 + i // 4}Q{1 + i % 4}" for i in range(60)], "2014-10-01"),
        ([f"{2000 + i // 12}-{1 + i % 12:02}" for i in range(60)], "2004-12-01"),
        ([datetime(2000 + i // 12, 1 + i % 12, 1).strftime("%b %Y") for i in range(72)], "2005-12-01"),
        ([f"{2020}-W{week:02}" for week in range(1, 54)], "2020-12-28"),
    ],
)  # fmt: skip
def test_quarters_months_and_weeks(written: list[str], last: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("period,sold\n" + "".join(f"{cell},{load(i)}\n" for i, cell in enumerate(written)))
    data = forecast(path, context=8, horizon=2)
    assert times(data)[-1] == np.datetime64(last)
    assert data.form.target == ["sold"]


def test_an_export_of_a_sensor(tmp_path: Path) -> None:
    """Date and time in two columns, -200 for missing, empty last rows and columns, and no rewriting."""
    rows = [
        f"{hour:%d/%m/%Y};{hour:%H.%M.%S};{'-200' if i % 17 == 3 else str(load(i)).replace('.', ',')};{i % 9};;"
        for i, hour in enumerate(HOURS)
    ]
    path = tmp_path / "export (1).csv"
    path.write_text("\n".join(["Date;Time;CO(GT);NO2(GT);;", *rows, ";;;;;", ";;;;;", ""]))
    first = forecast(path)
    assert [line for line in first.report if line.startswith("'CO(GT)': -200 occurs 7 times")]
    data = forecast(path, time=["Date", "Time"], table={"missing": [-200]})
    assert data.form.target == ["CO(GT)", "NO2(GT)"]
    found = np.array(values(data))
    assert np.isnan(found[:, 0]).nonzero()[0].tolist() == list(range(3, 120, 17))
    assert times(data)[-1] == np.datetime64(HOURS[-1])
    report = " ".join(data.report)
    assert "2 empty rows at the end are skipped" in report
    assert "columns without a name and values, skipped: 2" in report


def test_columns_that_are_no_numbers_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [f"{DAYS[i]:%Y-%m-%d},{load(i)},x{i % 3},y{i % 2},z,{i % 5}," for i in range(90)]
    path.write_text("\n".join(["date,load,a,b (c),d,n,", *rows]) + "\n")
    with pytest.raises(UserError, match=r"column 'a' .* and 2 more: b \(c\), d") as error:
        forecast(path)
    assert '"data.target=[load,n]", or "data.covariates.past=[a,\'b (c)\',d]"' in str(error.value)
    data = forecast(path, target="numeric")
    assert data.form.target == ["load", "n"]
    assert "not forecast, because they are no numbers: a, b (c), d" in data.report


def test_columns_are_counted_from_0_and_from_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("".join(f"{i},{load(i)},{i % 7}\n" for i in range(90)))
    data = forecast(path, time=0, target=[-1], covariates={"past": [1]}, table={"header": False})
    assert (data.form.time, data.form.target, data.form.past_covariates) == (["0"], ["2"], ["1"])
    data.save(tmp_path)
    again = ForecastData(path=path, context=12, horizon=4, time=0, target=[-1], covariates={"past": [1]})
    again.load(tmp_path)
    assert again.model_kwargs == data.model_kwargs
    path.write_text("t,load,n\n" + path.read_text())
    assert forecast(path, time=0, target=[-1]).form.target == ["n"]


PACKED: dict[str, Callable[[Path, bytes], None]] = {
    "a.csv.gz": lambda path, text: path.write_bytes(gzip.compress(text)) and None,
    "a.csv.xz": lambda path, text: path.write_bytes(lzma.compress(text)) and None,
    "a.csv.zip": lambda path, text: zipfile.ZipFile(path, "w").writestr("a.csv", text),
}


@pytest.mark.parametrize("name", PACKED)
def test_compressed_tables(name: str, tmp_path: Path) -> None:
    text = "day,load\n" + "".join(f"{day:%Y-%m-%d},{load(i)}\n" for i, day in enumerate(DAYS))
    PACKED[name](tmp_path / name, text.encode())
    assert len(values(forecast(tmp_path / name))) == 90


def test_an_archive_of_several_files_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", "x\n1\n")
        archive.writestr("b.csv", "x\n1\n")
    with pytest.raises(UserError, match=r"^data\.path: .*2 files in it instead of one: a\.csv, b\.csv"):
        forecast(tmp_path / "a.zip")


def test_a_folder_of_files_is_one_table(tmp_path: Path) -> None:
    for month in range(3):
        rows = [f"{day:%Y-%m-%d},{load(i)}" for i, day in enumerate(DAYS) if i // 30 == month]
        (tmp_path / f"2024-{month}.csv").write_text("\n".join(["day,load", *rows]) + "\n")
    assert np.ravel(values(forecast(tmp_path))).tolist() == [load(i) for i in range(90)]
    (tmp_path / "2024-3.csv").write_text("day,charge\n2025-01-01,2\n")
    with pytest.raises(
        UserError, match=r"^data\.path: expected the 2 columns .*: day, load; got 2024-3\.csv, .*'charge'"
    ):
        forecast(tmp_path)
    (tmp_path / "2024-3.csv").write_text("day,load\n2025-01-01,high\n")
    with pytest.raises(UserError, match=r"^data\.target: .*column 'load'; got 'high' at 2024-3\.csv line 2"):
        forecast(tmp_path)


def test_json_lines_of_times(tmp_path: Path) -> None:
    rows = [f'{{"day": "{day:%Y-%m-%d}", "load": {load(i) if i != 5 else "null"}}}' for i, day in enumerate(DAYS)]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    found = np.ravel(values(forecast(tmp_path / "a.jsonl")))
    assert np.isnan(found).nonzero()[0].tolist() == [5]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["2024-03-01,5", "2024-03-02,6,7"], r"2 cells in every row, as in the first; got 3 at .*a\.csv line 93"),
        (["Total,99"], r"^data\.time: .*got 'Total' at .*a\.csv line 92\. Try: .*without rows that have no time"),
        (["2024-02-30,5"], r"^data\.time: .*got '2024-02-30' at .*a\.csv line 92"),
        (["2024-02-29,many"], r"^data\.target: .*got 'many' at .*line 92\. Try: \"data\.table\.missing=\[many\]\""),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(rows: list[str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    plain = [f"{day:%Y-%m-%d},{load(i)}" for i, day in enumerate(DAYS)]
    path.write_text("\n".join(["day,load", *plain, *rows]) + "\n")
    with pytest.raises(UserError, match=message):
        forecast(path)


def reviews(delimiter: str) -> str:
    return f"text{delimiter}label\n" + "".join(
        f"lovely work {i}{delimiter}good\na dull film {i}{delimiter}bad\n" for i in range(20)
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_labeled_texts_with_any_delimiter(delimiter: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(reviews(delimiter))
    data = TextLabelData(path=tmp_path / "a.csv")
    data.setup()
    assert data.task_kwargs["classes"] == ["bad", "good"]


def test_labels_before_a_blank_and_a_text_in_latin_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "reviews.data"
    lines = [f"{i % 2} {'un café' if i % 2 else 'not worth the détour'} {i}" for i in range(40)]
    path.write_bytes("\n".join([*lines, ""]).encode("latin-1"))
    question = (
        "Try: \"data.table.delimiter=' '\" data.table.header=false data.target_column=0 data.text_column=1 if each line"
    )
    with pytest.raises(UserError) as error:
        TextLabelData(path=path).setup()
    assert question in str(error.value)
    answer: dict[str, Any] = {"table": {"delimiter": " ", "header": False}, "target_column": 0, "text_column": 1}
    data = TextLabelData(path=path, **answer)
    data.setup()
    assert data.task_kwargs["classes"] == ["0", "1"]
    assert "détour" in data.tokenizer.content()["tokens"]
    assert "read as Windows-1252 (data.table.encoding)" in capsys.readouterr().err
    last = TextLabelData(path=path, **answer | {"text_column": 0, "target_column": -1})
    with pytest.raises(UserError):  # the last words are numbers of lines, of which most are not in training
        last.setup()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp1251"])
def test_other_encodings(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(reviews(",").replace("dull", "скучно").encode(encoding))
    arguments = {"table": {"encoding": "cp1251"}} if encoding == "cp1251" else {}
    data = TextLabelData(path=tmp_path / "a.csv", **arguments)
    data.setup()
    assert "скучно" in data.tokenizer.content()["tokens"]
    if encoding == "cp1251":
        with pytest.raises(UserError, match=r"is not UTF-8 \(line 3\)\. Try: data\.table\.encoding=cp1252 if"):
            TextLabelData(path=tmp_path / "a.csv").setup()


def runs(form: str) -> str:
    rows = ["run,t,x,y,fault"]
    for n in range(12):
        time = datetime(2024, 1, 2)
        for i in range(10):
            rows.append(f"r{n},{time.strftime(form)},{load(i + n)},{i},{'ab'[n % 2]}")
            time += timedelta(minutes=1 if i != 4 else 7)
    return "\n".join(rows) + "\n"


def test_times_are_steps_and_gaps_can_be_an_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(runs("%Y-%m-%d %H:%M:%S"))
    columns: dict[str, Any] = {"id_column": "run", "target_column": "fault"}
    with pytest.raises(UserError, match=r"column 't' .* Try: \"data\.channels=\[x,y\]\", or data\.step_column=t if"):
        SeriesLabelData(path=path, **columns).setup()
    data = SeriesLabelData(path=path, **columns, step_column="t")
    data.setup()
    assert data.model_kwargs["input_size"] == 2
    assert "other than 60 s, read as consecutive steps (data.gaps=true" in capsys.readouterr().err
    gaps = SeriesLabelData(path=path, **columns, step_column="t", gaps=True)
    gaps.setup()
    assert gaps.model_kwargs["input_size"] == 3
    path.write_text(runs("%d/%m/%Y %H:%M"))
    with pytest.raises(UserError, match=r"^data\.step_format: expected one format of the times") as error:
        SeriesLabelData(path=path, **columns, step_column="t").setup()
    assert "\"data.step_format='%d/%m/%Y %H:%M'\"" in str(error.value)
    chosen = SeriesLabelData(path=path, **columns, step_column="t", step_format="%d/%m/%Y %H:%M", gaps=True)
    chosen.setup()
    for one, other in zip(chosen.splits["train"], gaps.splits["train"], strict=True):
        assert one.inputs.tolist() == other.inputs.tolist()


def test_series_with_a_decimal_comma(tmp_path: Path) -> None:
    rows = [f"s{n};{str(load(i + n)).replace('.', ',')};{'ab'[n % 2]}" for n in range(12) for i in range(5)]
    (tmp_path / "a.csv").write_text("\n".join(["id;x;label", *rows]) + "\n")
    data = SeriesLabelData(path=tmp_path / "a.csv", id_column="id")
    data.setup()
    assert data.model_kwargs["input_size"] == 1


def test_tagged_tokens_with_another_delimiter_and_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(
        "\n".join(["Zoë;B-PER", "geht;O", "", "Straße;O", "frei;O", ""] * 20).encode("cp1252")
    )
    data = TagData(path=tmp_path / "a.txt", table={"delimiter": ";", "encoding": "cp1252"})
    data.setup()
    assert data.task_kwargs == {"tags": ["O", "B-PER"]}
    assert "Straße" in data.vocabulary.words
    with pytest.raises(UserError, match=r"^data\.table\.decimal: expected no value for tagged sentences"):
        TagData(path=tmp_path / "a.txt", table={"decimal": ","})


@pytest.mark.parametrize("name", ["report (1).csv", "größe.csv", "a,b.csv", "a=b.csv", "it's.csv"])
def test_names_as_they_are(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{day:%Y-%m-%d},{load(i)},{i}" for i, day in enumerate(DAYS)]
    Path(name).write_text("\n".join(["Datetime (UTC),CO(GT),row", *rows]) + "\n")
    typed = name.replace("'", "\\'")
    path = f"data.path='{typed}'" if "'" in name else f"data.path={name}"
    columns = ["data.time=Datetime (UTC)", "data.target=CO(GT)"]
    small = ["data.context=8", "data.horizon=2", "model.hidden_size=4"]
    assert run(["explain", "task=forecasting", "data=series", path, *columns, *small]) == 0
