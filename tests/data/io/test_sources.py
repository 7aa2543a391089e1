import gzip
import io
import lzma
import os
from pathlib import Path

import pytest

from rnnkit.data import CharTokenizer
from rnnkit.data.corpus.corpus import Corpus
from rnnkit.data.io.sources import Document, read
from rnnkit.data.io.standard_input import stdin_lines
from rnnkit.errors import UserError


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def test_a_file_a_folder_a_glob_and_a_list(tmp_path: Path) -> None:
    write(tmp_path, {"b/two.txt": "2", "b/deep/three.txt": "3", "a.txt": "1", "note.md": "4"})
    assert read(tmp_path / "a.txt") == [Document("a.txt", "1")]
    assert read(str(tmp_path)) == [
        Document("a.txt", "1"),
        Document("b/deep/three.txt", "3"),
        Document("b/two.txt", "2"),
        Document("note.md", "4"),
    ]
    assert [d.name for d in read(f"{tmp_path}/*.txt")] == ["a.txt"]
    assert [d.name for d in read(f"{tmp_path}/**/*.txt")] == ["a.txt", "b/deep/three.txt", "b/two.txt"]
    assert [d.text for d in read([tmp_path / "note.md", tmp_path / "b"])] == ["4", "3", "2"]


def test_a_glob_that_matches_folders_reads_what_they_hold(tmp_path: Path) -> None:
    write(tmp_path, {"x/a.txt": "1", "y/a.txt": "2", "z/a.txt": "3"})
    assert read(f"{tmp_path}/[xy]") == [Document("x/a.txt", "1"), Document("y/a.txt", "2")]


def test_a_recursive_glob_does_not_read_folders_twice_or_more_than_it_matches(tmp_path: Path) -> None:
    write(tmp_path, {"x/a.txt": "1", "x/y/b.md": "2"})
    assert [d.text for d in read(f"{tmp_path}/**")] == ["1", "2"]
    assert [d.text for d in read(f"{tmp_path}/**/*.txt")] == ["1"]


def test_no_file_is_read_twice(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "1", "b.txt": "2"})
    (tmp_path / "link.txt").symlink_to("a.txt")
    assert [d.text for d in read([tmp_path / "b.txt", f"{tmp_path}/*.txt", tmp_path])] == ["2", "1"]


def test_a_pipe_met_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "1"})
    os.mkfifo(tmp_path / "b.txt")
    assert read(tmp_path) == [Document("a.txt", "1")]


def test_a_file_whose_name_looks_like_a_glob(tmp_path: Path) -> None:
    write(tmp_path, {"chapter[1].txt": "1", "chapter1.txt": "wrong"})
    assert [d.text for d in read(tmp_path / "chapter[1].txt")] == ["1"]


def test_hidden_and_binary_files_in_a_folder_are_left_out_but_not_from_raw(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "1", ".hidden": "2", ".git/config": "3", "image.png": b"\x89PNG\0\xff", "empty": ""})
    assert [d.name for d in read(tmp_path)] == ["a.txt"]
    assert [d.name for d in read(tmp_path, raw=True)] == ["a.txt", "image.png"]


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_packed_files_are_unpacked(suffix: str, pack, tmp_path: Path) -> None:
    write(tmp_path, {f"a.txt{suffix}": pack("größe\n".encode())})
    assert read(tmp_path / f"a.txt{suffix}") == [Document(f"a.txt{suffix}", "größe\n")]


def test_byte_order_mark_and_windows_newlines(tmp_path: Path) -> None:
    content = "\ufeffa\r\nb\rc\n".encode()
    write(tmp_path, {"a.txt": content})
    assert read(tmp_path / "a.txt")[0].text == "a\nb\rc\n"
    assert read(tmp_path / "a.txt", raw=True)[0].text.encode("utf-8", "surrogateescape") == content


def test_raw_keeps_every_byte(tmp_path: Path) -> None:
    content = bytes(range(256)) * 2
    write(tmp_path, {"a.bin": content})
    assert read(tmp_path / "a.bin", raw=True)[0].text.encode("utf-8", "surrogateescape") == content


@pytest.mark.parametrize(
    ("name", "content", "path", "message"),
    [
        ("a.txt", "x", "missing.txt", r"a file that can be read; got .*missing.txt: No such file.* Try: data\.path="),
        ("a.txt", "x", "*.csv", r"a glob that matches files; got .*\*\.csv"),
        ("a.txt", "", "a.txt", "text; got .*a.txt, which is empty"),
        ("a.txt", b"ab\0c", "a.txt", r"text; got .*a.txt, which has a NUL byte at offset 2.* data\.level=byte"),
        ("a.txt", "hi".encode("utf-16"), "a.txt", "UTF-16"),
        (
            "a.txt",
            b"caf\xe9 au lait",
            "a.txt",
            r"UTF-8 text; got .*a.txt, whose byte 0xe9 at offset 3 .*data\.level=byte",
        ),
        ("a.txt.gz", gzip.compress(b"hello" * 99, mtime=0)[:-9], "a.txt.gz", r"a whole \.gz file; got .*a.txt.gz"),
        ("a.txt.gz", b"never packed", "a.txt.gz", r"a whole \.gz file"),
        ("a.txt.xz", lzma.compress(b"hello" * 99)[:-9], "a.txt.xz", r"a whole \.xz file"),
        ("a.txt.xz", b"never packed", "a.txt.xz", r"a whole \.xz file"),
        ("sub/a.png", b"\0", "sub", "none of them with text"),
    ],
)
def test_what_cannot_be_read_is_one_message(
    name: str, content: str | bytes, path: str, message: str, tmp_path: Path
) -> None:
    write(tmp_path, {name: content})
    with pytest.raises(UserError, match=message):
        read(tmp_path / path)


def test_the_message_names_the_argument(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^data\.valid: .* Try: data\.valid="):
        read(tmp_path / "missing.txt", argument="data.valid")


def test_a_latin1_file_met_in_a_folder_is_named_not_passed_over(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "fine", "b.txt": b"caf\xe9"})
    with pytest.raises(UserError, match=r"b\.txt"):
        read(tmp_path)


def test_what_is_left_out_or_changed_is_counted_and_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        tmp_path, {"a.txt": "1\r\n", "b.txt": "\ufeff2\n", ".git/config": "3", ".c": "4", "d.png": b"\0", "e.txt": ""}
    )
    (tmp_path / "f").symlink_to(tmp_path.parent, target_is_directory=True)
    os.mkfifo(tmp_path / "g")
    documents = read([tmp_path / "b.txt", tmp_path])
    assert [document.name for document in documents] == ["b.txt", "a.txt"]
    printed = capsys.readouterr().err.replace(f"{tmp_path}/", "").splitlines()
    assert sorted(line if "hidden" not in line else line.partition(" (")[0] for line in printed) == [
        "empty files, skipped: 1 (e.txt)",
        "files that are not text, skipped: 1 (d.png)",
        "files that were found more than once, read once: 1 (b.txt)",
        "files with a byte order mark, which is dropped: 1 (b.txt)",
        "files with the line ends of Windows (CRLF), read as LF: 1 (a.txt)",
        "hidden files and folders, skipped: 2",
        "links to folders, not followed: 1 (f)",
        "pipes and sockets, skipped: 1 (g)",
    ]
    Corpus(CharTokenizer).read([tmp_path / "b.txt", tmp_path], "data.path")
    assert sorted(capsys.readouterr().err.replace(f"{tmp_path}/", "").splitlines()) == sorted(printed)


def test_nothing_is_printed_where_all_is_read_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, {"a.txt": "1\n", "b/c.txt": "2\n"})
    read(tmp_path)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"fine\ncaf\xe9\n", "UTF-8 text; got .*byte 0xe9.* is not UTF-8.*"),
        (b"fine\nnot \0\n", "text; got .*NUL byte"),
    ],
)
def test_a_pipe_is_read_by_the_rules_for_files(
    content: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"a.txt": content, "b.txt": b"\xef\xbb\xbfa\r\nb\rc\n"})

    def piped(name: str) -> str:
        source = io.TextIOWrapper(
            io.BytesIO((tmp_path / name).read_bytes()), encoding="ascii", errors="surrogateescape"
        )
        monkeypatch.setattr("sys.stdin", source)  # what Python makes of a pipe where the locale is C
        return "".join(stdin_lines())

    with pytest.raises(UserError, match=message):
        read(tmp_path / "a.txt")
    with pytest.raises(UserError, match=message) as raised:
        piped("a.txt")
    assert "line 2" in str(raised.value)
    assert piped("b.txt") == read(tmp_path / "b.txt")[0].text == "a\nb\rc\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "x"})
    (tmp_path / "a.txt").chmod(0)
    with pytest.raises(UserError, match="Permission denied"):
        read(tmp_path / "a.txt")


def test_a_refusal_of_the_system_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a.txt": "x"})

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserError, match=r"a\.txt: Permission denied"):
        read(tmp_path)
