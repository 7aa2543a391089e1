"""Tables with typed columns, and the errors for those that cannot be read."""

import gzip
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rnnkit.data.io import packed
from rnnkit.data.io.findings import Findings
from rnnkit.data.io.tables.format import TableFormat
from rnnkit.data.io.tables.reading import read_table
from rnnkit.data.io.tables.rows import file_rows
from rnnkit.data.io.tables.table import Table
from rnnkit.data.io.times.columns import TimeColumns
from rnnkit.errors import UserError

TABLE = "when,load,kind\n2024-01-01 00:00:00,1.5,a\n2024-01-01 01:00:00,,b\n2024-01-01 02:00:00,-3e2,NA\n"


def made(path: Path | None, **form: Any) -> Table:
    return read_table(path, "data.path", TableFormat(**form))


def written(names: Sequence[str]) -> list[int]:
    return list(range(len(names)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


def test_cells_are_numbers_words_and_times(file: Path) -> None:
    file.write_text(TABLE)
    table = made(file)
    assert list(table.columns) == ["when", "load", "kind"]
    np.testing.assert_array_equal(table.numbers("load", "data.target"), [1.5, np.nan, -300])
    assert table.words("kind", "data.covariates.categorical").tolist() == ["a", "b", None]
    hours = np.array(["2024-01-01T00", "2024-01-01T01", "2024-01-01T02"], "datetime64[us]")
    np.testing.assert_array_equal(TimeColumns(table, ["when"]).stamps("%Y-%m-%d %H:%M:%S").times, hours)
    assert [table.is_numeric(name) for name in table.columns] == [False, True, False]


@pytest.mark.parametrize("change", ["gzip", "crlf", "mark", "semicolons", "tabs", "blank lines", "standard input"])
def test_the_same_table_in_other_clothes(change: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path: Path | None = file
    file.write_text(TABLE)
    if change == "gzip":
        path = file.with_suffix(".csv.gz")
        path.write_bytes(gzip.compress(TABLE.encode()))
    elif change == "crlf":
        file.write_bytes(TABLE.replace("\n", "\r\n").encode())
    elif change == "mark":
        file.write_text(TABLE, encoding="utf-8-sig")
    elif change in ("semicolons", "tabs"):
        file.write_text(TABLE.replace(",", ";" if change == "semicolons" else "\t"))
    elif change == "blank lines":
        file.write_text(TABLE.replace("\n2024", "\n\n2024") + "\n")
    else:
        path = None
        monkeypatch.setattr(sys, "stdin", io.StringIO(TABLE))
    table = made(path)
    assert list(table.columns) == ["when", "load", "kind"]
    np.testing.assert_array_equal(table.numbers("load", "data.target"), [1.5, np.nan, -300])
    assert table.words("kind", "data.covariates.categorical").tolist() == ["a", "b", None]


def test_columns_without_a_header_are_numbered(file: Path) -> None:
    file.write_text("1,2\n3,4\n")
    table = made(file, header=False)
    assert table.rows == 2
    np.testing.assert_array_equal(table.numbers("1", "data.target"), [2, 4])


def test_every_word_for_nothing_is_nothing(file: Path) -> None:
    file.write_text("x,y\n1,0\nNA,0\n?,0\nNaN,0\n null,0\nNone,0\n")
    assert np.isnan(made(file).numbers("x", "data.target")).tolist() == [False, *[True] * 5]


@pytest.mark.parametrize(
    ("cell", "form", "expected"),
    [
        ("2024-03", "%Y-%m", "2024-03-01"),
        ("2024-03-05T06:07", "%Y-%m-%dT%H:%M", "2024-03-05T06:07"),
        ("2024-03-05 06:07:08.25", "%Y-%m-%d %H:%M:%S", "2024-03-05T06:07:08.25"),
        ("2024-03-05T06:00:00Z", "%Y-%m-%dT%H:%M:%SZ", "2024-03-05T06:00"),
        ("2024-03-05T06:00:00+02:00", "%Y-%m-%dT%H:%M:%S%:z", "2024-03-05T04:00"),
        ("05/03/2024 06:07", "%d/%m/%Y %H:%M", "2024-03-05T06:07"),
        ("20240305", "%Y%m%d", "2024-03-05"),
        ("1709618820000", "ms", "2024-03-05T06:07"),
    ],
)
def test_times_are_read_by_their_format(cell: str, form: str, expected: str, file: Path) -> None:
    file.write_text(f"t,x\n{cell},1\n")
    assert TimeColumns(made(file), ["t"]).stamps(form).times[0] == np.datetime64(expected, "us")


def test_numbers_serve_as_times(file: Path) -> None:
    file.write_text("t,x\n1,1\n2.5,1\n")
    assert TimeColumns(made(file), ["t"]).stamps("number").times.tolist() == [1.0, 2.5]


def test_rows_of_any_length(file: Path) -> None:
    file.write_text('"V1","V2","V3","V4"\n"H1","1","2","3"\n"H2","4","",""\n"H3","","5",""\n')
    found = file_rows(file, "data.train", TableFormat(), Findings())
    rows = {name: notation.read_words([cell for cell in cells if cell]) for _, (name, *cells), notation in found}
    assert {name: values.tolist() for name, values in rows.items()} == {"H1": [1, 2, 3], "H2": [4], "H3": [5]}


BAD = {
    "empty": (b"", "expected a table; got .*table.csv, which is empty"),
    "header only": (b"a,b\n", "got .*table.csv, which has only a header"),
    "too few cells": (b"a,b\n1,2\n\n3\n", "expected 2 cells in every row.*; got 1 at .*table.csv line 4"),
    "too many cells": (b"a,b\n1,2,3\n", "got 3 at .*table.csv line 2"),
    "not UTF-8": (
        "a,b\n1,2\n1,здесь\n".encode("cp1251"),
        r"expected UTF-8 text; got .*0xe7 at .*\(line 3\).*data.table.encoding=",
    ),
    "binary": (b"a,b\n\0,1\n", "NUL byte"),
    "a name twice": (b"a,a\n1,2\n", "distinct names; got 'a' twice at .*line 1"),
}


@pytest.mark.parametrize("mistake", BAD)
def test_a_file_that_is_no_table_is_told_where(mistake: str, file: Path) -> None:
    content, message = BAD[mistake]
    file.write_bytes(content)
    with pytest.raises(UserError, match=rf"^data\.path: .*{message}"):
        made(file)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            "b",
            r"^data\.target: .* 'b'; got 'high' at .*table\.csv line 4\. Try: .*data\.table\.missing=\[high\]",
        ),
        ("c", r"^data\.target: expected a number.* 'c'; got 'inf' at .*table\.csv line 3"),
        ("d", r"^data\.target: expected a column 'd'; got a, b, c at .*table\.csv"),
        ("A", r"expected a column 'A'.*Try: data\.target=a"),
    ],
)
def test_a_cell_that_is_no_number_is_told_with_its_line(column: str, message: str, file: Path) -> None:
    file.write_text("a,b,c\n1,2,1\n1,,inf\n1,high,1\n")
    with pytest.raises(UserError, match=message):
        made(file).numbers(column, "data.target")


def test_a_line_is_counted_as_an_editor_counts(file: Path) -> None:
    """A quoted cell with a line break in it, and a blank line, come before the mistake."""
    file.write_text('a,b\n"x\ny",1\n\nz,oops\n')
    with pytest.raises(UserError, match=r"'oops' at .*line 5"):
        made(file).numbers("b", "data.target")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            "2024-01-01\nyesterday",
            r"^data\.time: expected a time of the form %Y-%m-%d.*'yesterday' at .*line 3\. Try: data\.times\.format=",
        ),
        ('2024-01-01\n""', r"^data\.time: .*line 3"),
        ('1\n""', r"^data\.time: expected a time in every row of 't'; got none at .*line 3"),
    ],
)
def test_a_cell_that_is_no_time_is_told_with_its_line(cells: str, message: str, file: Path) -> None:
    file.write_text("t\n" + cells + "\n")
    with pytest.raises(UserError, match=message):
        TimeColumns(made(file), ["t"]).stamps("number" if cells[0] == "1" else "%Y-%m-%d")


def test_a_file_that_is_not_there(file: Path) -> None:
    with pytest.raises(UserError, match=r"^data\.path: .*table\.csv: No such file"):
        made(file)


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="Parquet needs the extra timeseries")
    parquet = pytest.importorskip("pyarrow.parquet")
    times = np.array(["2024-01-01T00", "2024-01-01T01", "2024-01-01T02"], "datetime64[ns]")
    columns = {
        "when": arrow.array(times),
        "load": arrow.array([1, None, -300], arrow.int64()),
        "on": arrow.array([True, False, None]),
        "kind": arrow.array(["a", "b", None]).dictionary_encode(),
        "zone": arrow.array(times, arrow.timestamp("us", "Europe/Berlin")),
    }
    parquet.write_table(arrow.table(columns), tmp_path / "table.parquet")
    table = made(tmp_path / "table.parquet")
    np.testing.assert_array_equal(table.numbers("load", "data.target"), [1, np.nan, -300])
    np.testing.assert_array_equal(table.numbers("on", "data.target"), [1, 0, np.nan])
    assert table.words("kind", "data.covariates.categorical").tolist() == ["a", "b", None]
    for name in ("when", "zone"):
        np.testing.assert_array_equal(TimeColumns(table, [name]).stamps("").times, times.astype("datetime64[us]"))
    assert table.zones == {"zone": "Europe/Berlin"}
    assert [table.is_numeric(name) for name in table.columns] == [False, True, True, False, False]
    with pytest.raises(UserError, match=r"'a' at .*table\.parquet row 1"):
        table.numbers("kind", "data.target")


def test_a_damaged_parquet_file(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs the extra timeseries")
    (tmp_path / "table.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(UserError, match=r"^data\.path: expected a Parquet file that can be read"):
        made(tmp_path / "table.parquet")


@pytest.mark.parametrize("kind", ["numbers", "nothing", "texts"])
def test_a_small_parquet_file_of_gigabytes(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal values are kept once, so the number of rows has nothing to do with the size of the file."""
    arrow = pytest.importorskip("pyarrow", reason="Parquet needs the extra timeseries")
    parquet = pytest.importorskip("pyarrow.parquet")
    codes = arrow.array(np.zeros(200_000, np.int32))
    columns = {
        "numbers": arrow.array(np.zeros(200_000)),
        "nothing": arrow.nulls(200_000),
        "texts": arrow.DictionaryArray.from_arrays(codes, ["x" * 100_000]),
    }
    parquet.write_table(arrow.table({"a": columns[kind]}), tmp_path / "table.parquet", compression="zstd")
    table = made(tmp_path / "table.parquet")  # 20 GB of texts, if each row had its own
    assert len(table.columns["a"]) == 200_000
    monkeypatch.setattr(packed, "ALLOWED", 1 << 16)
    with pytest.raises(UserError, match=r"^data\.path: expected a plausible compression ratio"):
        made(tmp_path / "table.parquet")


def test_columns_of_lists_are_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrow = pytest.importorskip("pyarrow", reason="Parquet needs the extra timeseries")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"a": [1.0, 2.0], "b": [[1], [2, 3]], "c": [{"d": 1}] * 2}), tmp_path / "t.parquet")
    assert list(made(tmp_path / "t.parquet").columns) == ["a"]
    assert "columns of lists or structures, left out: b, c" in capsys.readouterr().err


def test_parquet_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"it is not installed\. Try: pip install 'rnnkit\[timeseries\]'"):
        made(tmp_path / "table.parquet")
