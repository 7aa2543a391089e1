"""Sentences in columns and JSON lines, with the quirks that real files have."""

import io
import re

import pytest

from rnnkit.data import catalog
from rnnkit.data.io.findings import Findings
from rnnkit.data.io.sources import read
from rnnkit.data.tagging.columns import Columns, numbered, read_columns, with_tags
from rnnkit.data.tagging.json_lines import read_json_lines
from rnnkit.data.tagging.sentence import Sentence
from rnnkit.errors import UserError


def sentences(text: str, columns: Columns, **options: bool) -> list[Sentence]:
    faults = Findings()
    found = list(read_columns(io.StringIO(text), "a file", columns, faults, **options))
    assert faults.lines() == []
    return found


def faults_of(text: str, columns: Columns = Columns(0, -1), **options: bool) -> list[str]:  # noqa: B008
    faults = Findings()
    list(read_columns(io.StringIO(text), "a file", columns, faults, **options))
    return faults.lines()


def test_columns_of_the_shared_tasks() -> None:
    text = "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects  VBZ B-VP O\n \n\t\n# NN O O\nA\u00a0B NN O B-PER"
    found = sentences(text, Columns(0, -1))
    assert [sentence.tokens for sentence in found] == [["EU", "rejects"], ["#", "A\u00a0B"]]
    assert [sentence.tags for sentence in found] == [["B-ORG", "O"], ["O", "B-PER"]]
    assert [sentence.tags for sentence in sentences(text, Columns(0, 1))] == [["NNP", "VBZ"], ["NN", "NN"]]


@pytest.mark.parametrize(
    ("columns", "line", "expected"),
    [
        (Columns(0, 2, 3, " "), "EU NN X", "EU NN T"),
        (Columns(0, 2, 3, " "), "EU NN", "EU NN T"),
        (Columns(0, 2, 3, " "), "EU", "EU T"),
        (Columns(0, 2, 3, " "), "EU\tNN", "EU\tNN\tT"),
        (Columns(0, 1, 3, " "), "EU X NN", "EU T NN"),
        (Columns(1, 2, 3, "\t"), "1\tNew York", "1\tNew York\tT"),
        (Columns(0, 1, 2, " "), "EU", "EU T"),
        (Columns(1, 0, 2, " "), "X EU", "T EU"),
        (Columns(1, 0, 2, " "), "EU", "T EU"),
        (Columns(0, -1), "EU NN", "EU NN T"),  # no training tells that the last column is a tag
    ],
)
def test_a_tag_goes_where_training_had_it_and_never_over_another_column(
    columns: Columns, line: str, expected: str
) -> None:
    (found,) = sentences(line + "\n", columns, tagged=False, keep=True)
    assert found.tokens in (["EU"], ["New York"])
    assert with_tags(found, ["T"], columns if columns.width else None) == [expected]


def test_lines_that_are_no_tokens_are_kept() -> None:
    text = "-DOCSTART- O\n\nEU O\nrejects\n\nGerman O\n\nalone\n"
    columns = Columns(0, 1, 2, " ")
    found = sentences(text, columns, tagged=False, keep=True)
    lines = [with_tags(sentence, ["T"] * len(sentence.tokens), columns) for sentence in found]
    assert lines == [["-DOCSTART- O", "", "EU T", "rejects T"], ["German T"], ["alone T"]]


def test_a_sentence_comes_as_soon_as_it_is_complete() -> None:
    stream = io.StringIO("a X\n\nb Y\n\n")
    arriving = read_columns(stream, "standard input", Columns(0, -1), Findings())
    assert next(arriving).tokens == ["a"]
    assert stream.readline() == "b Y\n"


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("a X\nb\n", Columns(0, -1), ["lines with 1 columns, not 2: 1 (a file line 2: 'b')"]),
        ("a N X\nNew York N X\nc N X\n", Columns(0, -1), ["lines with 4 columns, not 3: 1 (a file line 2: 'New Yo"]),
        ("a X\n\n# a b\nb Y\n", Columns(0, -1), ["lines that start with # and have 3 columns, not 2: 1 (a file l"]),
        ("a X\nb Y\n", Columns(0, 2), ["no tag in column 2: 2 (a file line 1: 'a X', a file line 2: 'b Y')"]),
        ("a X\nb Y\n", Columns(0, 0), ["no tag in column 0: 2 ("]),
        ("a\tX\n\tY\n", Columns(0, 1), ["no token in column 0: 1 (a file line 2: '\\tY')"]),
        ("a\tX\nb\t\n", Columns(0, 1), ["no tag in column 1: 1 (a file line 2: 'b\\t')"]),
        ("a\tX\nNew York\n", Columns(0, 1), ["columns not separated by tabs, as in the first line or in training: 1"]),
        ("a X\nb\tY\n", Columns(0, 1), ["columns not separated by spaces, as in the first line: 1 (a file line 2"]),
        ("a X\rb Y\r\r", Columns(0, 1), ["carriage returns in the middle of a line: 1 (a file line 1"]),
        ("a X\nb\n\nc\td\ne\n", Columns(0, 1), ["lines with 1 columns, not 2: 2 (", "columns not separated by sp"]),
    ],
)
def test_all_that_is_wrong_is_told_with_its_lines(text: str, columns: Columns, expected: list[str]) -> None:
    found = faults_of(text, columns)
    assert len(found) == len(expected)
    for line, beginning in zip(found, expected, strict=True):
        assert line.startswith(beginning)


@pytest.mark.parametrize(
    ("columns", "line", "expected"),
    [
        (Columns(0, 2, 3, " "), "a b c d", "lines with 4 columns, not the 3 of training"),
        (Columns(0, 3, 4, " "), "a b", "lines with 2 columns, not the 4 of training"),
        (Columns(0, 1, 3, " "), "a b", "lines with 2 columns, not the 3 of training"),  # which one is missing?
        (Columns(0, 2, 3, "\t"), "a b", "columns not separated by tabs"),
        (Columns(1, 2, 3, "\t"), "a\t", "no token in column 1"),
    ],
)
def test_columns_that_training_did_not_have_are_asked_about(columns: Columns, line: str, expected: str) -> None:
    (found,) = faults_of(line + "\n", columns, tagged=False, keep=True)
    assert found.startswith(expected)


def test_columns_that_do_not_exist() -> None:
    with pytest.raises(UserError, match=r"data\.tag_column: expected one of id, form, .*got 'pos'. Try: .*=upos"):
        numbered("pos", "conllu", "data.tag_column")
    with pytest.raises(UserError, match="only CoNLL-U has column names; got 'upos'"):
        numbered("upos", "columns", "data.tag_column")
    with pytest.raises(UserError, match="a column from 0 to 9; got 10"):
        numbered(10, "conllu", "data.tag_column")


def test_json_lines() -> None:
    lines = ['{"tokens": ["a", "b"], "tags": ["X", "Y"]}', "", '{"tokens": ["c"]}', '{"tokens": []}']
    faults = Findings()
    assert [one.tokens for one in read_json_lines(lines, "a.jsonl", faults, tagged=False)] == [["a", "b"], ["c"], []]
    assert len(faults) == 0
    assert next(read_json_lines(lines, "a.jsonl", faults)).tags == ["X", "Y"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nothing", r"lines that are not JSON: 1 \(a\.jsonl line 2: Expecting value"),
        ("[1]", r"lines without a list of strings under 'tokens': 1 \(a\.jsonl line 2\)"),
        ('{"tokens": ["a", 1]}', r"without a list of strings"),
        ('{"tokens": ["a", NaN]}', r"without a list of strings"),
        ('{"tokens": ["a", ""]}', r"without a list of strings"),
        ('{"tokens": ["a"]}', r"without one string under 'tags' for each token: 1 \(a\.jsonl line 2: none for 1\)"),
        ('{"tokens": ["a"], "tags": ["X", "Y"]}', r"line 2: 2 for 1"),
        ('{"tokens": ["a"], "tags": ["X"], "tags": ["Y"]}', r"a repeated key among tokens, tags, tags"),
        ('{"tokens": ["a"], "tags": ["X"', r"not JSON"),
    ],
)
def test_what_is_no_such_line_is_named(line: str, message: str) -> None:
    faults = Findings()
    assert list(read_json_lines(["", line], "a.jsonl", faults)) == []
    (found,) = faults.lines()
    assert re.search(message, found)


@pytest.mark.usefixtures("real_data")
def test_the_emerging_entities_have_the_published_counts() -> None:
    counts = {}
    for part, path in catalog.find("wnut17").items():
        (document,) = read(path)
        found = sentences(document.text, Columns(0, -1))
        tags = [tag for sentence in found for tag in sentence.tags or ()]
        counts[part] = (len(found), len(tags), sum(tag.startswith("B-") for tag in tags))
    assert counts == {"train": (3_394, 62_730, 1_975), "valid": (1_009, 15_733, 836), "test": (1_287, 23_394, 1_079)}
