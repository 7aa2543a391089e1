import json
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnnkit.data import ByteTokenizer, CharTokenizer, SubwordTokenizer, Tokenizer, WordTokenizer, load_tokenizer
from rnnkit.data.tokenizers import char
from rnnkit.errors import UserError

some_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
words = st.lists(st.lists(st.sampled_from(["a", "bb", "cé", "<unk>", "dog"]), max_size=4), min_size=1, max_size=5)


def texts_of(word_lines: list[list[str]]) -> str:
    return "".join(" ".join(line) + "\n" for line in word_lines)


@given(some_text)
def test_characters_come_back_as_they_went_in(text: str) -> None:
    tokenizer = CharTokenizer.train([text])
    ids = tokenizer.encode(text)
    assert ids.dtype == torch.int32
    assert ids.shape == (len(text),)
    assert tokenizer.decode(ids) == text
    assert tokenizer.missing(text) == []
    assert tokenizer.unknown not in ids.tolist()


@given(some_text)
def test_character_ids_go_by_frequency_then_code_point(text: str) -> None:
    counts = Counter(text)
    expected = sorted(counts, key=lambda character: (-counts[character], ord(character)))
    assert [token for token in CharTokenizer.train([text]).tokens if token != "<unk>"] == expected


def test_a_large_text_is_looked_up_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "ab\U0001f600c" * 10
    whole = CharTokenizer.train([text])
    monkeypatch.setattr(char, "BLOCK", 7)
    blocks = CharTokenizer.train([text])
    assert blocks.tokens == whole.tokens
    assert blocks.decode(blocks.encode(text)) == text


@pytest.mark.parametrize("text", ["", "z", "\ud800", "\U0010ffff", "中"])
def test_characters_that_training_never_saw_are_unknown(text: str) -> None:
    tokenizer = CharTokenizer.train(["aab"])
    assert tokenizer.tokens == ("a", "b", "<unk>")
    assert tokenizer.encode(text).tolist() == [2] * len(text)
    assert tokenizer.missing(text) == list(text)


def test_rare_characters_become_unknown_and_take_its_place_by_frequency() -> None:
    tokenizer = CharTokenizer.train(["aaaa" + "bb" + "cde"], min_count=2)
    assert tokenizer.tokens == ("a", "<unk>", "b")
    assert tokenizer.unknown == 1
    assert tokenizer.encode("abcd").tolist() == [0, 2, 1, 1]
    assert tokenizer.decode([0, 1]) == "a<unk>"


def test_an_unknown_tag_in_a_text_of_characters_is_five_characters() -> None:
    tokenizer = CharTokenizer.train(["<unk>"])
    assert len(tokenizer) == 6
    assert len(tokenizer.encode("<unk>")) == 5


@given(st.binary(max_size=60))
def test_any_bytes_are_their_own_ids(content: bytes) -> None:
    tokenizer = ByteTokenizer()
    assert tokenizer.encode(content.decode("utf-8", "surrogateescape")).tolist() == list(content)
    assert tokenizer.decode(list(content)) == content.decode("utf-8", "replace")
    assert tokenizer.unknown is None
    assert len(tokenizer) == 256


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_bytes_stream_as_whole_characters(text: str) -> None:
    decoder = ByteTokenizer().decoder()
    pieces = [decoder(byte) for byte in text.encode()]
    assert "".join(pieces) == text
    assert "�" not in "".join(pieces) or "�" in text


def test_bytes_that_are_no_utf8_stream_as_replacements() -> None:
    decoder = ByteTokenizer().decoder()
    assert "".join(map(decoder, b"a\xffb\xc3(")) == "a�b�("


@given(words)
def test_words_are_those_of_each_line_and_an_end(lines: list[list[str]]) -> None:
    text = texts_of(lines)
    tokenizer = WordTokenizer.train([text])
    expected = [word for line in lines for word in [*line, "<eos>"]]
    assert [tokenizer.tokens[i] for i in tokenizer.encode(text)] == expected
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert set(tokenizer.tokens) == {*expected, "<unk>"}
    counts = Counter(expected)
    assert [counts[token] for token in tokenizer.tokens] == sorted(counts.values(), reverse=True) + [0] * (
        len(tokenizer) - len(counts)
    )


def test_blanks_of_every_kind_divide_words_and_only_newlines_end_lines() -> None:
    tokenizer = WordTokenizer.train([" a\tb\x0cc  d \u2028a\n"])
    assert tokenizer.decode(tokenizer.encode(" a\tb\x0cc  d \u2028a\n")) == "a b c d a\n"


def test_a_literal_unk_is_the_unknown_word() -> None:
    tokenizer = WordTokenizer.train(["<unk> <unk> <unk> a\n"])
    assert tokenizer.tokens == ("<unk>", "<eos>", "a")
    assert tokenizer.encode("<unk> never").tolist() == [0, 0]
    assert tokenizer.missing("a never <unk> seen never") == ["never", "seen"]


def test_rare_words_are_unknown_but_the_end_of_line_never_is() -> None:
    tokenizer = WordTokenizer.train(["a a b c\n"], min_count=2)
    assert tokenizer.tokens == ("<unk>", "a", "<eos>")


def test_a_prompt_is_continued_on_its_line() -> None:
    tokenizer = WordTokenizer.train(["the cat sat\n"])
    assert tokenizer.decode(tokenizer.encode("the cat")) == "the cat"
    decoder = tokenizer.decoder()
    assert [decoder(int(i)) for i in tokenizer.encode("the cat\nsat")] == ["the", " cat", "\n", "sat"]


@pytest.mark.parametrize("kind", [CharTokenizer, ByteTokenizer, WordTokenizer, SubwordTokenizer])
def test_what_is_saved_is_loaded(kind: type[Tokenizer], tmp_path: Path) -> None:
    tokenizer = kind.train(["the cät \U0001f600 the\n"])
    tokenizer.save(tmp_path / "run" / "vocabulary.json")
    loaded = load_tokenizer(tmp_path / "run" / "vocabulary.json")
    assert type(loaded) is kind
    assert (loaded.tokens, loaded.unknown, loaded.level) == (tokenizer.tokens, tokenizer.unknown, tokenizer.level)
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["vocabulary.json"]


@given(some_text, some_text)
def test_any_text_is_made_of_subwords(trained_on: str, text: str) -> None:
    tokenizer = SubwordTokenizer.train([trained_on], vocabulary_size=300)
    ids = tokenizer.encode(text)
    decoder = tokenizer.decoder()
    assert tokenizer.decode(ids) == "".join(decoder(int(i)) for i in ids) == text
    assert 256 <= len(tokenizer) <= 300
    assert len(ids) <= len(text.encode())


def test_subwords_are_the_merges_of_the_most_frequent_pairs() -> None:
    # "ab" occurs 6 times, "abc" 4 times, " abc" 3 times
    tokenizer = SubwordTokenizer.train(["abc abc\n", "abc abc", "abd abd"], vocabulary_size=259)
    assert [*map("".join, tokenizer.merges)] == ["ab", "abc", "Ġabc"]
    assert [tokenizer.tokens[i] for i in tokenizer.encode("abc abcd\n")] == ["abc", "Ġabc", "d", "Ċ"]


def test_lines_have_the_subwords_that_they_have_in_the_whole_text() -> None:
    text = "the  cat\n\n\tsat on\u2028 the mat \n  the cat\n"
    tokenizer = SubwordTokenizer.train([text] * 9)
    parts = [tokenizer.encode(line).tolist() for line in text.splitlines(keepends=True)]
    assert [i for part in parts for i in part] == tokenizer.encode(text).tolist()


@pytest.mark.parametrize("size", [255, 0, -1])
def test_subwords_need_room_for_every_byte(size: int) -> None:
    with pytest.raises(UserError, match="vocabulary_size: expected 256 or more"):
        SubwordTokenizer.train(["text"], vocabulary_size=size)


@pytest.mark.parametrize("kind", [CharTokenizer, WordTokenizer])
def test_the_most_frequent_tokens_are_kept(kind: type[Tokenizer]) -> None:
    tokenizer = kind.train(["a a a a a b b c\n" if kind is WordTokenizer else "aaaaabbc"], vocabulary_size=3)
    assert len(tokenizer) == 3
    assert tokenizer.tokens[0] == "a"
    assert tokenizer.decode(tokenizer.encode("a")) == "a"
    assert ("<eos>" in tokenizer.tokens) == (kind is WordTokenizer)


def test_bytes_have_one_size() -> None:
    with pytest.raises(UserError, match="there are always 256 bytes; got 100"):
        ByteTokenizer.train(["text"], vocabulary_size=100)


def test_subwords_without_their_package_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match=r"Try: pip install 'rnnkit\[text\]'"):
        SubwordTokenizer.train(["text"])


GOOD = {"format": "rnnkit vocabulary 1", "level": "char", "tokens": ["a", "<unk>"]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"format": "rnnkit voc',
        b"\xff\xfe",
        b"[" * 100_000,
        b"[1, 2]",
        b"{}",
        *(
            json.dumps(GOOD | fault).encode()
            for fault in (
                {"format": "rnnkit vocabulary 9"},
                {"level": "sentence"},
                {"level": ["char"]},
                {"tokens": "ab"},
                {"tokens": ["a", 1, "<unk>"]},
                {"tokens": ["a", "a", "<unk>"]},
                {"tokens": ["a"]},
                {"tokens": ["ab", "<unk>"]},
                {"tokens": ["", "<unk>"]},
                {"level": "word", "tokens": ["a", "<eos>"]},
                {"level": "subword"},
                {"level": "subword", "merges": [["a", "b"]]},
                {"level": "subword", "tokens": ["a"] * 300, "merges": []},
                {"level": "byte"},
            )
        ),
    ],
)
def test_a_damaged_or_foreign_vocabulary_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"vocabulary\.json: expected .*; got .*\. Try: "):
        load_tokenizer(path)


def test_a_missing_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        load_tokenizer(tmp_path / "vocabulary.json")


def test_a_failed_save_leaves_the_old_vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vocabulary.json"
    CharTokenizer.train(["old"]).save(path)
    before = path.read_bytes()

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        CharTokenizer.train(["new"]).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
