import sysconfig
from pathlib import Path

import pytest

from rnnkit.data.catalog import python_source
from rnnkit.errors import UserError


def test_the_corpus_is_the_library_and_nothing_else() -> None:
    documents = python_source.documents()
    names = {document.name for document in documents}
    assert {"json/decoder.py", "typing.py", "asyncio/tasks.py"} <= names
    parts = {part for name in names for part in Path(name).parts}
    assert not parts & {"site-packages", "test", "tests", "idlelib", "encodings", "__pycache__", "pydoc_data"}
    assert not [name for name in names if "_sysconfigdata" in name or not name.endswith(".py")]
    assert [document.name for document in documents] == sorted(names)
    library = Path(sysconfig.get_path("stdlib"))
    assert dict(documents)["typing.py"] == (library / "typing.py").read_text()


def test_it_is_large_and_its_alphabet_small() -> None:
    documents = python_source.documents()
    assert len(documents) > 300
    assert 5_000_000 < sum(len(document.text) for document in documents) < 15_000_000
    characters = set().union(*(document.text for document in documents))
    assert max(map(ord, characters)) < 128
    assert 90 <= len(characters) <= 100


def test_an_interpreter_without_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(UserError, match=r"standard library; got none in .* Try: data\.path="):
        python_source.documents()
