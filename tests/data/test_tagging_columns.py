"""Sentences in columns and JSON lines, with the quirks that real files have."""

import io
from collections import Counter

import pytest

from rnnkit.data import catalog
from rnnkit.data.sources import read
from rnnkit.data.tagging.columns import Columns, numbered, read_columns, with_tags
from rnnkit.data.tagging.json_lines import read_json_lines
from rnnkit.data.tagging.sentence import Sentence
from rnnkit.errors import UserError

CONLLU = """\
# sent_id = 1
# text = Don't go
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tDo\tdo\tAUX\tVBP\tMood=Ind|Number=S\t3\taux\t_\t_
2\tn't\tnot\tPART\tRB\t_\t3\tadvmod\t_\t_
3\tgo\tgo\tVERB\tVB\t_\t0\troot\t_\t_
3.1\tthere\tthere\tADV\tRB\t_\t_\t_\t_\t_

# sent_id = 2
1\t#\t#\tSYM\tNN\t_\t0\troot\t_\t_
"""


def sentences(text: str, format_: str, columns: Columns, **options: bool) -> list[Sentence]:
    return list(read_columns(text.split("\n"), "a file", format_, columns, **options))


def test_conllu_leaves_out_what_is_no_word() -> None:
    first, second = sentences(CONLLU, "conllu", Columns(1, 3))
    assert (first.tokens, first.tags) == (["Do", "n't", "go"], ["AUX", "PART", "VERB"])
    assert (second.tokens, second.tags) == (["#"], ["SYM"])


@pytest.mark.parametrize(("column", "expected"), [("xpos", "VBP"), ("deprel", "aux"), ("FEATS", "Mood=Ind|Number=S")])
def test_any_column_by_name(column: str, expected: str) -> None:
    number = numbered(column, "conllu", "data.tag_column")
    assert sentences(CONLLU, "conllu", Columns(1, number))[0].tags[0] == expected  # type: ignore[index]


def test_conllu_is_written_back_as_it_was_but_for_the_column() -> None:
    found = sentences(CONLLU, "conllu", Columns(1, 3), tagged=False, keep=True)
    assert [sentence.tags for sentence in found] == [None, None]
    new = ["\n".join(with_tags(one, ["X"] * len(one.tokens), "conllu", 3)) for one in found]
    expected = CONLLU.replace("AUX", "X").replace("PART", "X").replace("VERB", "X").replace("SYM", "X")
    assert "\n\n".join(new) + "\n" == expected


def test_columns_of_the_shared_tasks() -> None:
    text = "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects  VBZ B-VP O\n \n\t\n# NN O O\nA\u00a0B\tNN\tO\tB-PER"
    found = sentences(text, "columns", Columns(0, -1))
    assert [sentence.tokens for sentence in found] == [["EU", "rejects"], ["#", "A\u00a0B"]]
    assert [sentence.tags for sentence in found] == [["B-ORG", "O"], ["O", "B-PER"]]
    assert [sentence.tags for sentence in sentences(text, "columns", Columns(0, 1))] == [["NNP", "VBZ"], ["NN", "NN"]]


def test_columns_without_tags_get_a_new_one_and_those_with_it_keep_the_rest() -> None:
    text = "-DOCSTART- O\n\nEU O\nrejects O\n\nGerman\tX\n\nalone\n"
    found = sentences(text, "columns", Columns(0, -1), tagged=False, keep=True)
    lines = [with_tags(sentence, ["T"] * len(sentence.tokens), "columns", -1) for sentence in found]
    assert lines == [["-DOCSTART- O", "", "EU T", "rejects T"], ["German\tT"], ["alone T"]]


def test_a_sentence_comes_as_soon_as_it_is_complete() -> None:
    stream = io.StringIO("a X\n\nb Y\n\n")
    arriving = read_columns(stream, "standard input", "columns", Columns(0, -1))
    assert next(arriving).tokens == ["a"]
    assert stream.readline() == "b Y\n"


@pytest.mark.parametrize(
    ("text", "format_", "columns", "message"),
    [
        ("a X\nb\n", "columns", Columns(0, -1), r"data\.tag_column: expected a tag in column -1 .*a file, line 2: 'b'"),
        ("a X\nb Y\n", "columns", Columns(0, 2), r"data\.tag_column: expected a tag in column 2 .*line 1: 'a X'"),
        ("a\tX\n\tY\n", "columns", Columns(0, 1), r"data\.token_column: expected a token .*line 2: '\\tY'"),
        ("1\ta\tb\n", "conllu", Columns(1, 3), r"a tag in column 'upos' .*line 1"),
        (
            "a\tb\tc\td\n",
            "conllu",
            Columns(1, 3),
            r"the number of a token .*'a' in a file, line 1\. Try: data\.fo",
        ),
    ],
)
def test_a_line_without_its_columns_is_named(text: str, format_: str, columns: Columns, message: str) -> None:
    with pytest.raises(UserError, match=message):
        sentences(text, format_, columns)


def test_columns_that_do_not_exist() -> None:
    with pytest.raises(UserError, match=r"data\.tag_column: expected one of id, form, .*got 'pos'. Try: .*=upos"):
        numbered("pos", "conllu", "data.tag_column")
    with pytest.raises(UserError, match="columns have names in CoNLL-U only; got 'upos'"):
        numbered("upos", "columns", "data.tag_column")
    with pytest.raises(UserError, match="a column from 0 to 9; got 10"):
        numbered(10, "conllu", "data.tag_column")


def test_json_lines() -> None:
    lines = ['{"tokens": ["a", "b"], "tags": ["X", "Y"]}', "", '{"tokens": ["c"]}']
    assert [one.tokens for one in read_json_lines(lines, "a.jsonl", tagged=False)] == [["a", "b"], ["c"]]
    assert next(read_json_lines(lines, "a.jsonl")).tags == ["X", "Y"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nothing", r"a\.jsonl, line 2: Expecting value"),
        ("[1]", r"line 2, which has no list of strings under 'tokens'"),
        ('{"tokens": []}', r"line 2, which has no list of strings"),
        ('{"tokens": ["a", 1]}', r"line 2, which has no list of strings"),
        ('{"tokens": ["a"]}', r"line 2, which has no 'tags', one string for each of 1 tokens"),
        ('{"tokens": ["a"], "tags": ["X", "Y"]}', r"line 2, which has no 'tags', one string"),
    ],
)
def test_what_is_no_such_line_is_named(line: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(read_json_lines(["", line], "a.jsonl"))


@pytest.mark.usefixtures("real_data")
def test_the_english_web_treebank_has_the_published_counts() -> None:
    counts = {}
    for part, path in catalog.find("ud_english_ewt").items():
        (document,) = read(path)
        found = sentences(document.text, "conllu", Columns(1, 3), keep=True)
        counts[part] = (len(found), sum(len(sentence.tokens) for sentence in found))
        tags = Counter(tag for sentence in found for tag in sentence.tags or ())
        assert len(tags) == 17
        if part == "test":
            written = "\n\n".join("\n".join(with_tags(one, one.tags or [], "conllu", 3)) for one in found)
            assert written + "\n\n" == document.text
    assert counts == {"train": (12_544, 204_577), "valid": (2_001, 25_147), "test": (2_077, 25_094)}


@pytest.mark.usefixtures("real_data")
def test_the_emerging_entities_have_the_published_counts() -> None:
    counts = {}
    for part, path in catalog.find("wnut17").items():
        (document,) = read(path)
        found = sentences(document.text, "columns", Columns(0, -1))
        tags = [tag for sentence in found for tag in sentence.tags or ()]
        counts[part] = (len(found), len(tags), sum(tag.startswith("B-") for tag in tags))
    assert counts == {"train": (3_394, 62_730, 1_975), "valid": (1_009, 15_733, 836), "test": (1_287, 23_394, 1_079)}
