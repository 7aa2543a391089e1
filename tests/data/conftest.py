import os
from pathlib import Path

import pytest

GIVEN = os.environ.get("RNNKIT_DATA")  # set by tests/conftest.py where the data lie beside the repository


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the data of whoever runs it, or writes among them."""
    monkeypatch.delenv("RNNKIT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rnnkit"


@pytest.fixture
def real_data(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published data sets, for tests that count them."""
    if GIVEN is None:
        pytest.skip("no data sets: RNNKIT_DATA is not set, and none lie beside the repository")
    monkeypatch.setenv("RNNKIT_DATA", GIVEN)
