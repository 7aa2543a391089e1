import os
from pathlib import Path

import pytest

BESIDE_THE_REPOSITORY = Path(__file__).parents[3] / "shared" / "data"
GIVEN = os.environ.get("RNNKIT_DATA") or (str(BESIDE_THE_REPOSITORY) if BESIDE_THE_REPOSITORY.is_dir() else None)


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
        pytest.skip(f"no data sets: RNNKIT_DATA is not set and {BESIDE_THE_REPOSITORY} does not exist")
    monkeypatch.setenv("RNNKIT_DATA", GIVEN)
