"""A file in blocks of any size is the file read whole, and its faults are told alike."""

import gzip
import lzma
import os
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnnkit.data.corpus.corpus import Corpus
from rnnkit.data.corpus.measure import Length, Measure, _blanks, codes_of
from rnnkit.data.io import blocks
from rnnkit.data.io.blocks import byte_blocks
from rnnkit.data.io.decoding import text_blocks
from rnnkit.data.io.sources import read, read_bytes
from rnnkit.data.tokenizers import LEVELS
from rnnkit.data.tokenizers.char import CODE_POINTS
from rnnkit.errors import UserError

content = st.lists(
    st.sampled_from(
        [b"a", b"\r", b"\n", b"\xef\xbb\xbf", "é€\U0001f600".encode(), b"\xe2\x82", b"\xff", b"\xc3", b"\0"]
    ),
    max_size=12,
).map(b"".join)


@given(content, st.integers(1, 7), st.sampled_from(["a.txt", "a.gz", "a.xz"]), st.booleans())
@example(b"\xff\n\n\0", 1, "a.txt", False)
@example(b"a\r\nb\r", 2, "a.gz", False)
def test_blocks_make_the_text_or_its_fault(data: bytes, size: int, name: str, raw: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK", size)
        path = Path(folder, name)
        path.write_bytes({".txt": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[path.suffix](data))
        assert read_bytes(path) == data
        fault = ""
        try:
            text = data.decode("utf-8", "surrogateescape" if raw else "strict")
        except UnicodeDecodeError as error:
            fault = f"byte {data[error.start]:#04x} at offset {error.start} is not UTF-8"
        if not raw and b"\0" in data:
            fault = f"NUL byte at offset {data.index(0)}:"
        if fault:
            with pytest.raises(UserError, match=fault):
                list(text_blocks(path, raw=raw))
            return
        found = list(text_blocks(path, raw=raw))
        assert "".join(found) == (text if raw else text.removeprefix("\ufeff").replace("\r\n", "\n"))
        assert bool(found) == bool(data)


@pytest.mark.parametrize("suffix", [".txt", ".gz", ".xz"])
def test_a_file_that_grows_or_shrinks_while_it_is_read_is_named(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 4)
    path = tmp_path / f"a{suffix}"
    pack = {".txt": bytes, ".gz": gzip.compress, ".xz": lzma.compress}[suffix]
    for change in (b"0123456789" * 3, b"01234"):
        path.write_bytes(pack(b"0123456789"))
        reading = byte_blocks(path, "data.train")
        next(reading)
        with path.open("r+b") as file:
            file.truncate(len(pack(change)) if suffix == ".txt" else path.stat().st_size)
            os.utime(path, ns=(1, 1))
        message = rf"^data\.train: expected a file that does not change .*; got .*a{suffix}, which was written to"
        with pytest.raises(UserError, match=message):
            list(reading)


def test_a_cut_archive_is_named_after_its_whole_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 1000)
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(os.urandom(50_000), mtime=0)[:-100])
    reading = byte_blocks(path)
    assert len(next(reading)) == 1000
    with pytest.raises(UserError, match=r"a whole \.gz file; got .*a\.txt\.gz"):
        list(reading)


@pytest.mark.parametrize("level", ["char", "word"])
def test_a_binary_file_met_late_leaves_nothing_behind(
    level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 3)
    for name, data in {"a": b"one\n", "b": b"two lines\nand words\0", "c": b"three\n"}.items():
        (tmp_path / name).write_bytes(data)
    corpus = Corpus(LEVELS[level])
    documents = corpus.read(tmp_path, "data.path")
    assert [document.name for document in documents] == ["a", "c"]
    found = corpus.joined(documents)
    assert Length.of(block.measure for block in found) == (10, 10, 4)
    assert "".join(corpus.texts(found)) == "one\nthree\n"
    assert len(corpus.content) == 10
    train, valid = corpus.cut(found, 4)
    assert [Length.of(block.measure for block in part).characters for part in (train, valid)] == [4, 6]


@given(st.text(st.characters(), max_size=20), st.lists(st.integers(0, 20), max_size=5))
def test_the_length_of_a_text_is_that_of_its_pieces(text: str, cuts: list[int]) -> None:
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    parts = [text[a:b] for a, b in pairwise(bounds) if b > a]
    lines = text.count("\n") + (not text.endswith("\n"))
    try:
        size = len(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return  # no file can be read as such a text
    assert Length.of(Measure.of(part, codes_of(part)) for part in parts) == (len(text), size, len(text.split()) + lines)


def test_blanks_are_what_python_divides_at() -> None:
    assert _blanks().nonzero()[0].tolist() == [code for code in range(CODE_POINTS) if chr(code).isspace()]


def test_reading_whole_is_reading_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffgröße\r\n".encode() * 3)
    whole = read(tmp_path)
    monkeypatch.setattr(blocks, "BLOCK", 1)
    assert read(tmp_path) == whole


def test_a_path_with_a_nul_byte() -> None:
    with pytest.raises(UserError, match=r"^data\.path: expected a file that can be read; got 'a\\x00b'"):
        list(byte_blocks(Path("a\0b")))
