from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rnnkit.data.corpus import splits
from rnnkit.data.corpus.corpus import Corpus
from rnnkit.data.corpus.splits import MANY_FILES
from rnnkit.data.io.sources import Document
from rnnkit.data.tokenizers import LEVELS
from rnnkit.errors import UserError

MANY = [Document(f"folder{i % 7}/file{i}.txt", f"[{i}]\n") for i in range(4 * MANY_FILES)]


def stored(documents: Sequence[Document], level: str) -> tuple[Corpus, list[splits.Document]]:
    corpus = Corpus(LEVELS[level])
    return corpus, [corpus.add(name, [text]) for name, text in documents]


def split(documents: Sequence[Document], valid: float, test: float, level: str = "char") -> dict[str, str]:
    corpus, found = stored(documents, level)
    return {name: "".join(corpus.texts(blocks)) for name, blocks in splits.split(corpus, found, valid, test).items()}


def join(documents: Sequence[Document], level: str = "char") -> str:
    corpus, found = stored(documents, level)
    return "".join(corpus.texts(corpus.joined(found)))


@given(st.integers(20, 3000), st.integers(1, 40), st.integers(0, 40))
@example(50, 10, 32)  # 50 * 0.58 is less than 29 in floating point
def test_few_files_are_cut_by_position(length: int, valid_percent: int, test_percent: int) -> None:
    assume(length * valid_percent >= 200 and (test_percent == 0 or length * test_percent >= 200))
    text = "".join(chr(0x4E00 + i) for i in range(length))
    texts = split([Document("a", text)], valid_percent / 100, test_percent / 100)
    assert list(texts) == (["train", "valid", "test"] if test_percent else ["train", "valid"])
    assert "".join(texts.values()) == text
    assert len(texts["train"]) == length * (100 - valid_percent - test_percent) // 100
    assert len(texts["train"]) + len(texts["valid"]) == length * (100 - test_percent) // 100


def test_words_are_never_cut_in_two() -> None:
    text = "".join(f"line {i} of many\n" for i in range(100))
    texts = split([Document("a", text)], 0.1, 0.1, level="word")
    assert "".join(texts.values()) == text
    assert all(part.endswith("\n") and part.startswith("line") for part in texts.values())
    assert 78 <= texts["train"].count("\n") <= 82


def test_a_cut_at_the_end_of_a_line_stays_there() -> None:
    assert split([Document("a", "ab\n" * 10)], 0.5, 0.0, level="word") == {"train": "ab\n" * 5, "valid": "ab\n" * 5}


def test_many_files_are_dealt_out_whole() -> None:
    texts = split(MANY, 0.1, 0.1)
    files = {name: text.split() for name, text in texts.items()}
    assert sorted(file for part in files.values() for file in part) == sorted(d.text.strip() for d in MANY)
    assert 20 <= len(files["valid"]) <= 60
    assert 20 <= len(files["test"]) <= 60


def test_a_file_stays_in_its_split_whatever_comes_beside_it() -> None:
    whole = {name: text.split() for name, text in split(MANY, 0.1, 0.1).items()}
    fewer = {name: text.split() for name, text in split(MANY[150:][::-1], 0.1, 0.1).items()}
    left = {d.text.strip() for d in MANY[150:]}
    assert fewer == {name: [file for file in files if file in left] for name, files in whole.items()}


def test_the_deal_is_the_same_on_every_machine() -> None:
    # for i in $(seq 0 99); do echo $(printf $i | sha256sum) $i; done | sort: below 0x0ccccc lie 5 % of all sums.
    # A change of the hash would move the files of every user's corpus.
    documents = [Document(f"{i}", f"{i}\n") for i in range(MANY_FILES)]
    assert split(documents, 0.05, 0.05)["valid"].split() == ["55", "51", "39"]
    assert split(documents, 0.05, 0.05)["test"].split() == ["49", "65", "9"]


def test_files_of_one_folder_are_spread() -> None:
    numbers = [int(word.strip("[]")) for word in split(MANY, 0.1, 0.1)["train"].split()]
    assert sum(a < b for a, b in pairwise(numbers)) < 0.6 * len(numbers)


def test_joining_keeps_lines_apart() -> None:
    files = [Document("a", "one\n"), Document("b", "two"), Document("c", "three\n\n"), Document("d", "four")]
    assert join(files) == "one\ntwo\nthree\n\nfour"
    assert join(files, "word") == "one\ntwo\nthree\n\nfour\n"
    assert join(files, "byte") == "one\ntwothree\n\nfour"
    assert join(files[:1]) == join(files[:1], "word") == "one\n"


@pytest.mark.parametrize(
    ("valid", "test", "argument"),
    [(0.0, 0.1, "valid"), (1.0, 0.0, "valid"), (float("nan"), 0.1, "valid"), (0.5, 0.5, "test"), (0.1, -0.1, "test")],
)
def test_fractions_must_be_fractions(valid: float, test: float, argument: str) -> None:
    with pytest.raises(
        UserError, match=rf"data\.split\.{argument}_fraction: expected .*Try: data\.split\.{argument}_fraction="
    ):
        split([Document("a", "x" * 100)], valid, test)


@pytest.mark.parametrize(("valid", "test", "empty"), [(0.001, 0.05, "valid"), (0.5, 0.499, "train")])
def test_an_empty_split_is_refused(valid: float, test: float, empty: str) -> None:
    with pytest.raises(UserError, match=f"a {empty} split with text in it"):
        split([Document("a", "x" * 10)], valid, test)


def test_an_empty_split_of_files_is_refused() -> None:
    with pytest.raises(UserError, match=f"a valid split with text in it; got nothing, from {len(MANY)} files"):
        split(MANY, 1e-6, 0.1)
