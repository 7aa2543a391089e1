"""Detection of the form of text tables, and blocks of rows."""

import csv
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnkit.data.io.encodings import guessed_encoding
from rnnkit.data.io.findings import Findings
from rnnkit.data.io.tables import reading
from rnnkit.data.io.tables.dialect import Dialect, detect
from rnnkit.data.io.tables.format import TableFormat
from rnnkit.data.io.tables.reading import table_of_text
from rnnkit.data.io.tables.records import record_blocks
from rnnkit.errors import UserError

FORMS: dict[str, tuple[str, Dialect]] = {
    "plain": ("a,b\n1,2\n", Dialect(",", '"', ".", "", True)),
    "spreadsheet in German": ("a;b\n1,5;2\n3;4,25\n", Dialect(";", '"', ",", "", True)),
    "without a header": ("1,5;2,5\n3,5;4,5\n", Dialect(";", '"', ",", "", False)),
    "both marks": ("a;b\n1.234,5;x\n", Dialect(";", '"', ",", ".", True)),
    "both marks in English": ('a;b\n"1,234.5";x\n', Dialect(";", '"', ".", ",", True)),
    "apostrophes": ("a;b\n1'234.5;x\n", Dialect(";", '"', ".", "'", True)),
    "commas in the header": ('"load, MW";"b, c"\n"1";"2"\n', Dialect(";", '"', ".", "", True)),
    "bars": ("a|b\nx, y|1\nz|2\n", Dialect("|", '"', ".", "", True)),
    "tabs with quotes in text": ('text\tlabel\n"so" he said\tgood\n', Dialect("\t", "", ".", "", True)),
    "tabs with quoted cells": ('"a"\t"b"\n"x"\t"1"\n', Dialect("\t", '"', ".", "", True)),
    "blanks": ("1  0.5 -2\n2 0.25  7\n", Dialect(" ", "", ".", "", False)),
    "dates without a header": ("2024-01-01,5\n2024-01-02,7\n", Dialect(",", '"', ".", "", False)),
    "channels as a header": ("date,0,1,2\n2024-01-01,5,6,7\n", Dialect(",", '"', ".", "", True)),
    "years as a header": ("1990,1991,1992\n5,6,7\n", Dialect(",", '"', ".", "", True)),
    "one column": ("load\n1\n2\n", Dialect(",", '"', ".", "", True)),
    "a sentence with commas": ("text,label\nyes,1\nno,2\n", Dialect(",", '"', ".", "", True)),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_a_table_is_detected(form: str) -> None:
    text, expected = FORMS[form]
    assert detect(text, TableFormat(), "a.csv", "data.path", named=False) == expected


def test_a_header_is_not_looked_for_if_a_column_is_named() -> None:
    assert detect("1,2\n3,4\n", TableFormat(), "a.csv", "data.path", named=True).header
    assert not detect("a,b\n3,4\n", TableFormat(header=False), "a.csv", "data.path", named=True).header


def test_a_comma_that_may_be_either_mark_is_asked_about_and_the_answer_works() -> None:
    text = "a;b\n1,234;x\n5,678;y\n"
    question = """Try: "data.table.decimal=','" or "data.table.thousands=','\""""
    with pytest.raises(UserError, match=rf"1,234 may be either\. {question}"):
        detect(text, TableFormat(), "a.csv", "data.path", named=False)
    for answer, value in (({"decimal": ","}, 1.234), ({"thousands": ","}, 1234.0)):
        assert made(text, **answer).numbers("a", "data.target")[0] == value


def made(text: str, **form: Any) -> reading.Table:
    return table_of_text(text, "a.csv", "data.path", TableFormat(**form), notes=Findings())


@given(
    st.lists(st.lists(st.text('ab",;\n 1.', max_size=4), min_size=2, max_size=2), min_size=1, max_size=8),
    st.integers(1, 9),
)
def test_blocks_of_any_size_are_the_rows_of_the_whole(rows: list[list[str]], size: int) -> None:
    """Quoted cells may have delimiters, quotes and newlines."""
    rows = [[f"k{first}", second] for first, second in rows]
    file = io.StringIO()
    csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    blocks = [block.text.decode() for block in record_blocks(iter([file.getvalue()]), '"', size)]
    assert [row for block in blocks for row in csv.reader(io.StringIO(block, newline=""))] == rows
    table = made(file.getvalue(), header=False, quote='"', delimiter=",")
    assert table.strings("0") == [first.strip() for first, _ in rows]


SPOILED = {
    "a mark inside": ("a,b\n1,2\n\ufeff3,4\n", "byte order marks inside a file"),
    "two headers": ("a,b\n1,2\na,b\n3,4\n", "repeated headers, skipped: 1 (a.csv line 3)"),
    "a cell too many, empty": ("a,b\n1,2,\n3,4,\n", "rows with empty cells behind the last column"),
    "a column without anything": ("a,b,\n1,2,\n3,4,\n", "columns without a name and values, skipped"),
}


@pytest.mark.parametrize("spoiled", SPOILED)
def test_what_is_repaired_is_counted(spoiled: str) -> None:
    text, note = SPOILED[spoiled]
    notes = Findings()
    table = table_of_text(text, "a.csv", "data.path", TableFormat(), notes=notes)
    assert list(table.columns) == ["a", "b"]
    assert table.numbers("a", "data.target").tolist() == [1, 3]
    assert any(line.startswith(note) for line in notes.lines())


def test_empty_rows_at_the_end_are_skipped() -> None:
    table = made("a;b\n1;2\n;\n;\n")
    assert table.rows == 1
    assert "2 empty rows at the end are skipped" in table.notes


def test_other_notations_of_nothing() -> None:
    table = made("a,b\n-200,x\n-200.0,off\n3,y\n", missing=[-200, "off"])
    np.testing.assert_array_equal(table.numbers("a", "data.target"), [np.nan, np.nan, 3])
    assert table.words("b", "data.id").tolist() == ["x", None, "y"]


def test_a_column_that_turns_into_words_keeps_all_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a,b\n" + "1,5\n" * 50 + "Total,9\n"
    whole = record_blocks
    monkeypatch.setattr(reading, "record_blocks", lambda texts, quote: whole(texts, quote, size=60))
    table = made(text)
    assert table.words("a", "data.id").tolist() == ["1"] * 50 + ["Total"]
    with pytest.raises(UserError, match=r"^data\.target: .*got 'Total' at a\.csv line 52\. Try: .*missing=\[Total\]"):
        table.numbers("a", "data.target")


def test_numbers_that_are_kept_as_they_are_written() -> None:
    table = table_of_text(
        "id,x\n007,1\n10,2\n",
        "a.csv",
        "data.path",
        TableFormat(),
        text_columns=lambda names: [names.index("id")],
        notes=Findings(),
    )
    assert table.words("id", "data.id").tolist() == ["007", "10"]


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        ("un café à Dijon", "latin-1", True),
        ("schöne Grüße, 20 °C", "cp1252", True),
        ("“quoted” – and m²", "cp1252", True),
        ("pokój i łąka", "cp1250", False),
        ("příliš žluťoučký", "cp1250", False),
        ("привет", "cp1251", False),
        ("naïve Ähren", "latin-1", False),
    ],
)
def test_an_encoding_is_guessed_only_if_it_is_certain(text: str, encoding: str, expected: bool) -> None:
    assert (guessed_encoding(text.encode(encoding)) == "windows-1252") == expected


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"delimiter": "ab"}, r"^data\.table\.delimiter: .*got 'ab'"),
        ({"decimal": "·"}, r"^data\.table\.decimal: "),
        ({"thousands": "."}, r"^data\.table\.thousands: expected another mark than data\.table\.decimal"),
        ({"encoding": "klingon"}, r"^data\.table\.encoding: .*Try: data\.table\.encoding=latin-1"),
        ({"format": "xls"}, r"^data\.table\.format: expected one of csv, tsv, jsonl, parquet"),
    ],
)
def test_entries_that_are_not_possible(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TableFormat(**entry)
