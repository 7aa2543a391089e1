"""Word vectors from text files."""

import gzip
from pathlib import Path

import pytest
import torch

from rnnkit.data import TagData
from rnnkit.data.io import packed
from rnnkit.data.tagging.vectors import read_vectors
from rnnkit.errors import UserError

GLOVE = "the 0.5 1 -2\ncat 1e-1 0 0\nthe 9 9 9\nat name 1 2 3\n"


@pytest.mark.parametrize(("name", "head"), [("v.txt", ""), ("v.vec", "4 3\n"), ("v.vec.gz", "4 3\n")])
def test_the_formats(name: str, head: str, tmp_path: Path) -> None:
    content = (head + GLOVE).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    words, rows_ND = read_vectors(tmp_path / name, {"the", "at name", "dog"})
    assert words == ["the", "at name"]
    assert torch.equal(rows_ND, torch.tensor([[0.5, 1, -2], [1, 2, 3]]))


def test_a_small_file_that_unpacks_to_gigabytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "ALLOWED", 1 << 20)
    (tmp_path / "v.gz").write_bytes(gzip.compress(b"the 1 2\n" * 1_000_000))
    with pytest.raises(UserError, match=r"^data\.vectors: expected a plausible compression ratio"):
        read_vectors(tmp_path / "v.gz", {"the"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"the 1 2\ncat 1\n", r"a word and 2 numbers per line, .*v\.txt, line 2: 'cat 1'"),
        (b"the 1 x\n", r"line 1: 'the 1 x'"),
        (b"the 1 nan\n", r"line 1: 'the 1 nan'"),
        (b"dog 1 2\n", r"data\.vectors: expected a file with vectors for some of the words"),
        (b"\xff 1 2\n", r"in UTF-8"),
        (b"the" * 5_000_000, r"v\.txt, with a line of more than"),
        (b"", r"vectors for some of the words"),
    ],
)
def test_what_is_no_such_file(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_vectors(tmp_path / "v.txt", {"the", "cat"})


def test_damaged_archives_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "v.gz").write_bytes(gzip.compress(GLOVE.encode())[:20])
    for name, message in (("v.gz", r"a whole \.gz file"), ("nowhere.txt", r"a file that can be read")):
        with pytest.raises(UserError, match=rf"data\.vectors: expected {message}"):
            read_vectors(tmp_path / name, {"the"})


def test_the_words_of_all_splits_have_their_vectors_in_any_casing(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("The X\nfox X\n\n")
    (tmp_path / "b.conll").write_text("cat Y\nFox X\n\n")
    (tmp_path / "v.txt").write_text(GLOVE)
    data = TagData(train=str(tmp_path / "a.conll"), valid=str(tmp_path / "b.conll"), vectors=str(tmp_path / "v.txt"))
    data.setup()
    assert data.model_kwargs["vectors"] == 3
    assert data.model_kwargs["vector_size"] == 3
    assert data.vectors is not None
    batch = data.collate(data.splits["train"] + data.splits["valid"])
    looked_up = data.vectors[batch.inputs.vectors].tolist()
    the, cat, none = [0.5, 1.0, -2.0], pytest.approx([0.1, 0, 0]), [0.0] * 3
    assert looked_up == [[the, none], [cat, none]]
    assert batch.inputs.words.tolist() == [[1, 2], [0, 0]]


def test_what_is_passed_over_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "v.txt").write_text("the 1 2\ncat 3 4\nthe 5 6\n")
    assert read_vectors(tmp_path / "v.txt", {"the", "dog"})[1].tolist() == [[1, 2]]
    assert capsys.readouterr().err == f"vectors: 1 word repeated in {tmp_path}/v.txt, skipped\n"
