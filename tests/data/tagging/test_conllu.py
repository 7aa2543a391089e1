"""CoNLL-U: what level 1 of the validator of Universal Dependencies asks for, and what is read all the same."""

import io
from collections import Counter

import pytest

from rnnkit.data import catalog
from rnnkit.data.io.findings import Findings
from rnnkit.data.io.sources import read
from rnnkit.data.tagging.columns import Columns, numbered, with_tags
from rnnkit.data.tagging.conllu import read_conllu
from rnnkit.data.tagging.sentence import Sentence

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


def reading(text: str, tag: int = 3, **options: bool) -> tuple[list[Sentence], Findings, Findings]:
    faults, notes = Findings(), Findings()
    return list(read_conllu(io.StringIO(text), "a", (1, tag), faults, notes, **options)), faults, notes


def sound(text: str, tag: int = 3, **options: bool) -> list[Sentence]:
    found, faults, notes = reading(text, tag, **options)
    assert faults.lines() == notes.lines() == []
    return found


def rows(*ids: str) -> str:
    """A sentence with these ids, its words w1, w2 and so on by place."""
    return "".join(f"{id_}\tw{n}\tw\tX\t_\t_\t_\t_\t_\t_\n" for n, id_ in enumerate(ids, 1))


def test_what_is_no_word_is_left_out() -> None:
    first, second = sound(CONLLU)
    assert (first.tokens, first.tags, first.place) == (["Do", "n't", "go"], ["AUX", "PART", "VERB"], "a line 4")
    assert (second.tokens, second.tags, second.place) == (["#"], ["SYM"], "a line 10")


@pytest.mark.parametrize(("column", "expected"), [("xpos", "VBP"), ("deprel", "aux"), ("FEATS", "Mood=Ind|Number=S")])
def test_any_column_by_name(column: str, expected: str) -> None:
    number = numbered(column, "conllu", "data.tag_column")
    assert sound(CONLLU, number)[0].tags[0] == expected  # type: ignore[index]


def test_a_file_is_written_back_as_it_was_but_for_the_column() -> None:
    found = sound(CONLLU, tagged=False, keep=True)
    assert [sentence.tags for sentence in found] == [None, None]
    new = ["\n".join(with_tags(one, ["X"] * len(one.tokens), Columns(1, 3, 10))) for one in found]
    expected = CONLLU.replace("AUX", "X").replace("PART", "X").replace("VERB", "X").replace("SYM", "X")
    assert "\n\n".join(new) + "\n\n" == expected


@pytest.mark.parametrize(
    "ids", ["1 2 3", "1 2-3 2 3", "1-2 1 2", "0.1 1 1.1 1.2 2", "1 1.1 2-3 2 3", "1-2 1 1.1 2 2.1"]
)
def test_ids_in_order(ids: str) -> None:
    (sentence,) = sound(rows(*ids.split()) + "\n")
    assert len(sentence.tokens) == sum(id_.isdigit() for id_ in ids.split())


def test_blanks_may_stand_in_forms_lemmas_and_misc() -> None:
    (sentence,) = sound("1\t10 000\t10 000\tNUM\t_\t_\t_\t_\t_\tA=b c\n\n")
    assert sentence.tokens == ["10 000"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            rows("1", "2", "1", "2"),
            "a word 1 inside a sentence, possibly without an empty line before it: 1 (a line 3",
        ),
        (rows("1", "1"), "a word 1 inside a sentence"),
        (rows("2"), "ids that do not follow the word before: 1 (a line 1: 2, not 1)"),
        (rows("1", "3", "4"), "ids that do not follow the word before: 1 (a line 2: 3, not 2)"),
        (rows("01"), "ids that are not a number, a range or an empty node: 1 (a line 1: '01')"),
        (rows("0"), "ids that are not a number, a range or an empty node"),
        (rows("1", "2-x"), "ids that are not a number, a range or an empty node: 1 (a line 2: '2-x')"),
        (rows("2-1", "1", "2"), "multiword ranges that end before they start"),
        (rows("1", "2", "1-2"), "multiword ranges that are not before their first word"),
        (rows("1-3", "1", "2"), "multiword ranges beyond the last word: 1 (a line 1: 1-3)"),
        (rows("1-2", "1", "2-3", "2", "3"), "multiword ranges that overlap"),
        (rows("1.1", "1"), "empty nodes out of order: 1 (a line 1: 1.1, not 0.1)"),
        (rows("1", "1.2"), "empty nodes out of order: 1 (a line 2: 1.2, not 1.1)"),
        (rows("1", "2-3", "1.1", "2", "3"), "empty nodes inside a multiword range, not before it"),
        ("1\tDogs\tNOUN\tNNS\t_\t2\tnsubj\t_\t_\n", "lines without ten columns separated by tabs: 1 (a line 1 with 9)"),
        (rows("1").replace("\n", "\t_\n"), "lines without ten columns separated by tabs: 1 (a line 1 with 11)"),
        (rows("1").replace("\t", "  "), "lines without ten columns separated by tabs: 1 (a line 1 with 1)"),
        (rows("1").replace("X", ""), "empty cells in column upos: 1 (a line 1)"),
        (rows("1").replace("w1", ""), "empty cells in column form"),
        (rows("1").replace("X", "X Y"), "whitespace in column upos: 1 (a line 1: 'X Y')"),
        (
            rows("1").replace("w1", " w1"),
            "leading, trailing or repeated whitespace in column form: 1 (a line 1: ' w1')",
        ),
        (rows("1").replace("w1", "w  1"), "leading, trailing or repeated whitespace in column form"),
        (rows("1") + "-\tw\n", "lines that are neither words nor comments: 1 (a line 2: '-\\tw')"),
        (rows("1", "2").replace("\n", "\r") + "\n", "carriage returns in the middle of a line"),
        ("\ufeff" + rows("1"), "ids that are not a number, a range or an empty node: 1 (a line 1: '\\ufeff1')"),
    ],
)
def test_what_breaks_the_format_is_told_and_not_read(text: str, expected: str) -> None:
    found, faults, _ = reading(text + "\n" + rows("1") + "\n")
    assert len(found) == 1  # the one behind it
    (line,) = faults.lines()
    assert line.startswith(expected)


def test_all_kinds_of_faults_are_told_at_once() -> None:
    _, faults, _ = reading(rows("1", "3") + "\n" + rows("2") + "\n" + rows("1").replace("X", "") + "\n" + rows("x"))
    assert faults.lines() == [
        "ids that do not follow the word before: 2 (a line 2: 3, not 2, a line 4: 2, not 1)",
        "empty cells in column upos: 1 (a line 6)",
        "ids that are not a number, a range or an empty node: 1 (a line 8: 'x')",
    ]


@pytest.mark.parametrize("cut", range(1, len("2\tw2\tw\tX\t_\t_\t_\t_\t_\t")))
def test_a_file_that_is_cut_in_its_last_line_is_never_learned(cut: int) -> None:
    text = rows("1", "2")[: -1 - cut]
    found, faults, _ = reading(text)
    assert found == []
    assert "the file ends in the middle of a line and may be truncated: 1 (a line 2" in faults.lines()[0]


def test_a_last_line_without_a_newline_is_whole_unless_its_end_is_the_tag() -> None:
    text = rows("1", "2").removesuffix("\n")
    found, faults, notes = reading(text)
    assert (len(found), len(faults)) == (1, 0)
    assert notes.lines() == ["no empty line after the last sentence: 1 (a line 2)"]
    assert reading(text, tag=9)[0] == []
    assert len(reading(text, tag=9, tagged=False)[0]) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rows("1", "2"), "no empty line after the last sentence: 1 (a line 2)"),
        (rows("1") + "\n\n" + rows("1") + "\n", "extra empty lines, skipped: 1 (a line 3)"),
        (rows("1") + " \t\n", "lines of spaces, read as empty: 1 (a line 2)"),
        (
            rows("1") + "# more\n" + rows("1", "2")[len(rows("1")) :] + "\n",
            "comments inside sentences, skipped: 1 (",
        ),
        (rows("1") + "\n# the end\n\n", "comments without a sentence, skipped: 1 (a line 3)"),
        (
            rows("1").replace("w1", "cafe\u0301") + "\n",
            "lines not in the Unicode normal form NFC, read unchanged: 1 (a",
        ),
    ],
)
def test_what_changes_no_word_is_read_and_noted(text: str, expected: str) -> None:
    found, faults, notes = reading(text)
    assert found
    assert len(faults) == 0
    (line,) = notes.lines()
    assert line.startswith(expected)


@pytest.mark.usefixtures("real_data")
def test_the_english_web_treebank_has_the_published_counts() -> None:
    counts = {}
    for part, path in catalog.find("ud_english_ewt").items():
        (document,) = read(path)
        found = sound(document.text, keep=True)
        counts[part] = (len(found), sum(len(sentence.tokens) for sentence in found))
        tags = Counter(tag for sentence in found for tag in sentence.tags or ())
        assert len(tags) == 17
        if part == "test":
            written = "\n\n".join("\n".join(with_tags(one, one.tags or [], Columns(1, 3, 10))) for one in found)
            assert written + "\n\n" == document.text
    assert counts == {"train": (12_544, 204_577), "valid": (2_001, 25_147), "test": (2_077, 25_094)}
