"""Where rnnkit keeps files of a user's."""

import sys
from pathlib import Path

import pytest

from rnnkit.data import catalog
from rnnkit.errors import UserError
from rnnkit.folders import cache_folder, state_folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have other customs")


@pytest.fixture(autouse=True)
def a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RNNKIT_CACHE", "XDG_CACHE_HOME", "XDG_STATE_HOME", "RNNKIT_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_in_the_home_of_the_user(tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / ".cache" / "rnnkit"
    assert state_folder() == tmp_path / ".local" / "state" / "rnnkit"


def test_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "states"))
    assert cache_folder() == tmp_path / "caches" / "rnnkit"
    assert state_folder() == tmp_path / "states" / "rnnkit"
    monkeypatch.setenv("RNNKIT_CACHE", str(tmp_path / "ours"))
    assert cache_folder() == tmp_path / "ours"


def test_data_sets_are_looked_for_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNKIT_CACHE", str(tmp_path / "ours"))
    with pytest.raises(UserError, match=f"no .* in {tmp_path / 'ours'}"):
        catalog.find("tiny_shakespeare")


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    monkeypatch.setattr("pwd.getpwuid", lambda _: (_ for _ in ()).throw(KeyError("no such user")))
    for folder in (cache_folder, state_folder):
        with pytest.raises(OSError, match="home directory"):
            folder()
    with pytest.raises(
        UserError, match=r"RNNKIT_CACHE: expected a folder to keep data sets in.*RNNKIT_CACHE=/tmp/rnnkit"
    ):
        catalog.find("tiny_shakespeare")
