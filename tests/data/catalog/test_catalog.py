import hashlib
import io
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from urllib.error import URLError

import pytest

from rnnkit.data import catalog
from rnnkit.data.io import download
from rnnkit.errors import UserError

CONTENT = b"the cat sat\n" * 9


class Answer(io.BytesIO):
    """What `urlopen` returns, as far as it is used."""

    def __init__(self, content: bytes, url: str) -> None:
        super().__init__(content)
        self.url = url

    def geturl(self) -> str:
        return self.url


@pytest.fixture
def one_file(monkeypatch: pytest.MonkeyPatch) -> catalog.File:
    """A catalog with one set of one file, whose content we know."""
    file = catalog.File(
        "path",
        ("toy/toy.txt", "toy/old.txt"),
        "https://example.org/x",
        len(CONTENT),
        hashlib.sha256(CONTENT).hexdigest(),
    )
    monkeypatch.setattr(catalog, "DATA_SETS", {"toy": catalog.DataSet("a toy", "free", (file,))})
    return file


def serve(monkeypatch: pytest.MonkeyPatch, content: bytes, arrived_at: str = "https://example.org/x") -> list[str]:
    asked: list[str] = []

    def urlopen(url: str, timeout: float) -> Answer:
        assert timeout > 0
        asked.append(url)
        return Answer(content, arrived_at)

    monkeypatch.setattr(download, "urlopen", urlopen)
    return asked


def test_the_catalog_needs_neither_torch_nor_lightning() -> None:
    heavy = "{'torch', 'lightning', 'numpy'}"
    code = f"import sys; from rnnkit.data import catalog; catalog.rows(); print({heavy} & {{*sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3], check=True
    )
    assert done.stdout.strip() == "set()"


def test_names_of_the_package_are_found_on_demand() -> None:
    import rnnkit.data

    for name in rnnkit.data.__all__:
        assert getattr(rnnkit.data, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rnnkit.data.nothing


def test_every_source_is_pinned_and_checked() -> None:
    assert list(catalog.DATA_SETS)[:4] == ["python_stdlib", "tiny_shakespeare", "ptb", "wikitext2"]
    for data in catalog.DATA_SETS.values():
        for file in data.files:
            assert len(file.sha256) == 64
            if file.url is None:
                assert ":" in data.description  # which says where it is to be had, or what was made of it
                continue
            assert file.url.startswith("https://raw.githubusercontent.com/")
            assert len(file.url.split("/")[5]) == 40  # a commit


@pytest.mark.usefixtures("real_data")
@pytest.mark.parametrize("name", ["tiny_shakespeare", "ptb", "wikitext2"])
def test_the_published_files_have_the_recorded_sums(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, b"")
    found = catalog.get(name)  # checks what is here
    assert found == catalog.find(name)
    assert asked == []
    assert set(found) == ({"path"} if name == "tiny_shakespeare" else {"train", "valid", "test"})


def test_a_file_may_lie_under_other_names_and_packed(
    one_file: catalog.File, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "toy").mkdir(parents=True)
    (cache / "toy" / "toy.txt").write_bytes(CONTENT)
    assert catalog.find("toy") == {"path": cache / "toy" / "toy.txt"}
    mine = tmp_path / "mine" / "toy"
    mine.mkdir(parents=True)
    (mine / "old.txt.gz").touch()
    monkeypatch.setenv("RNNKIT_DATA", os.pathsep.join([str(tmp_path / "nowhere"), str(tmp_path / "mine")]))
    assert catalog.find("toy") == {"path": mine / "old.txt.gz"}
    assert [row.where for row in catalog.rows()] == [mine]


def test_a_set_of_which_a_file_is_missing_is_not_here(cache: Path) -> None:
    (cache / "ptb").mkdir(parents=True)
    (cache / "ptb" / "ptb.train.txt").touch()
    with pytest.raises(UserError, match=r"got no ptb/ptb\.valid\.txt, ptb/ptb\.test\.txt in "):
        catalog.find("ptb")
    assert next(row for row in catalog.rows() if row.name == "ptb").where is None


def test_a_set_that_is_not_here_says_both_ways() -> None:
    with pytest.raises(UserError, match=r"data\.dataset: .*rnnkit data get ptb, or RNNKIT_DATA=.*ptb/ptb\.train\.txt"):
        catalog.find("ptb")
    assert {row.name: row.where is not None for row in catalog.rows()} == {
        name: not data.files for name, data in catalog.DATA_SETS.items()
    }


@pytest.mark.parametrize(
    ("wrong", "meant"), [("tinyshakespeare", "tiny_shakespeare"), ("wikitext-2", "wikitext2"), ("ptbb", "ptb")]
)
def test_a_misspelt_name_gets_the_nearest(wrong: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"got '{wrong}'. Try: data.dataset={meant}"):
        catalog.find(wrong)


def test_a_download_is_checked_and_kept(one_file: catalog.File, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, CONTENT)
    assert catalog.get("toy") == {"path": cache / "toy" / "toy.txt"}
    assert (cache / "toy" / "toy.txt").read_bytes() == CONTENT
    assert catalog.get("toy") == {"path": cache / "toy" / "toy.txt"}
    assert asked == [one_file.url]  # once


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT[:-1] + b"!", CONTENT + b"more" * 100_000])
def test_other_content_is_refused_and_nothing_is_left(
    content: bytes, one_file: catalog.File, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, content)
    with pytest.raises(UserError, match=f"expected 108 bytes with SHA-256 {one_file.sha256}; got .*RNNKIT_DATA="):
        catalog.get("toy")
    assert [path for path in cache.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("one_file")
def test_an_answer_without_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Answer(b"x" * 10_000_000, "https://example.org/x")
    monkeypatch.setattr(download, "urlopen", lambda url, timeout: nullcontext(answer))
    with pytest.raises(UserError, match="expected 108 bytes"):
        catalog.get("toy")
    assert answer.tell() < 1_000_000


@pytest.mark.parametrize(
    "error", [URLError("no route to host"), TimeoutError("timed out"), PermissionError(13, "denied")]
)
def test_without_a_network_the_other_way_is_told(
    error: Exception, one_file: catalog.File, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def urlopen(url: str, timeout: float) -> Answer:
        raise error

    monkeypatch.setattr(download, "urlopen", urlopen)
    with pytest.raises(UserError, match=r"https://example.org/x: .*Try: RNNKIT_DATA=.*toy/toy\.txt"):
        catalog.get("toy")
    assert [path for path in cache.rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("one_file")
def test_only_https_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serve(monkeypatch, CONTENT, arrived_at="http://example.org/x")
    with pytest.raises(UserError, match=r"http://example\.org/x is not https"):
        catalog.get("toy")
    with pytest.raises(UserError, match="is not https"):
        download.download("file:///etc/hostname", tmp_path / "x", sha256="", size=0, instead="nothing")


def test_a_spoiled_file_is_found_by_get(one_file: catalog.File, cache: Path) -> None:
    (cache / "toy").mkdir(parents=True)
    (cache / "toy" / "toy.txt").write_bytes(CONTENT.upper())
    with pytest.raises(UserError, match=r"toy\.txt: .*got other content\. Try: removing it, then: rnnkit data get toy"):
        catalog.get("toy")
