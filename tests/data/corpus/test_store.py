import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnnkit.data.corpus import store
from rnnkit.data.corpus.store import Store
from rnnkit.data.corpus.tokens import StoredTokens
from rnnkit.errors import UserError

numbers = st.lists(st.lists(st.sampled_from([0, 1, 255, 256, 65535, 65536, 1114111]), max_size=7), max_size=9)


@pytest.fixture
def small() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "CHUNK", 4)
        patch.setattr(store, "IN_MEMORY", 10)
        yield patch


def stored(parts: list[list[int]]) -> Store:
    found = Store()
    for part in parts:
        found.append(np.array(part, np.int64))
    return found


@given(numbers, st.integers(0, 30), st.integers(0, 30), st.integers(1, 5), st.integers(0, 20))
def test_any_part_of_it_is_read_as_it_was_written(
    parts: list[list[int]], start: int, stop: int, chunk: int, in_memory: int
) -> None:
    whole = [number for part in parts for number in part]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "CHUNK", chunk)
        patch.setattr(store, "IN_MEMORY", in_memory)
        found = stored(parts)
        assert len(found) == len(whole)
        assert found.is_on_disk == (len(whole) > in_memory)
        assert found.read(start, stop).tolist() == whole[start:stop]
        found.truncate(start)
        found.append(np.array([7], np.uint8))
        assert found.read(0, 99).tolist() == [*whole[:start], 7]


@given(numbers, st.integers(0, 40), st.integers(0, 40), st.integers(1, 5), st.integers(0, 20))
def test_tokens_are_read_as_int32(parts: list[list[int]], start: int, stop: int, chunk: int, in_memory: int) -> None:
    whole = [number for part in parts for number in part]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "CHUNK", chunk)
        patch.setattr(store, "IN_MEMORY", in_memory)
        found = StoredTokens(stored(parts))
        assert len(found) == len(whole)
        assert found[start:stop].dtype == torch.int32
        assert found[:].tolist() == whole
        assert found[start:stop].tolist() == whole[start:stop]
        assert found[-3:].tolist() == whole[-3:]


def test_tokens_are_read_forwards() -> None:
    with pytest.raises(ValueError, match="no step"):
        StoredTokens(stored([[1, 2]]))[::-1]


def test_the_smallest_type_that_will_do_is_written(small: pytest.MonkeyPatch) -> None:
    found = stored([[1] * 8, [300] * 8, [70_000] * 8])
    assert found.is_on_disk
    assert [found.read(at, at + 2).dtype for at in (0, 8, 16)] == [np.uint8, np.uint16, np.uint32]
    assert found._bytes == 8 + 16 + 32


def test_the_temporary_file_lies_where_tmpdir_says_and_has_no_name(small: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small.setattr(tempfile, "tempdir", str(tmp_path))
    found = stored([[1] * 20])
    assert found.is_on_disk
    assert [*tmp_path.iterdir()] == []
    assert os.fstat(found._file.fileno()).st_dev == tmp_path.stat().st_dev  # type: ignore[union-attr]


def test_a_disk_without_room_is_told_before_anything_is_written(small: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small.setattr(tempfile, "tempdir", str(tmp_path))
    small.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=3 << 30))
    small.setattr(tempfile, "TemporaryFile", lambda **_: pytest.fail("a file was begun"))
    found = Store()
    found.expected = 5 << 30
    message = rf"TMPDIR: expected space .*, 5\.0 GiB or more; got 3\.0 GiB free in {tmp_path}\. Try: TMPDIR=/"
    with pytest.raises(UserError, match=message):
        found.append(np.zeros(20, np.uint8))


def test_a_disk_that_fills_up_is_told(small: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small.setattr(tempfile, "tempdir", str(tmp_path))

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    small.setattr(os, "write", full)
    with pytest.raises(UserError, match=rf"TMPDIR: expected space .* free in {tmp_path}\. Try: TMPDIR="):
        Store().append(np.zeros(20, np.uint8))


def test_a_real_disk_that_is_full(small: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "r+b", buffering=0) as full:
        small.setattr(tempfile, "TemporaryFile", lambda **_: full)
        with pytest.raises(UserError, match="TMPDIR: expected space"):
            Store().append(np.zeros(20, np.uint8))


def test_no_folder_for_temporary_files_is_told(small: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    small.setattr(tempfile, "gettempdir", none)
    with pytest.raises(UserError, match="free in a temporary folder"):
        Store().append(np.zeros(20, np.uint8))
