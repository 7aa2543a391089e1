"""A few dozen damaged files of each kind; `make soak` tries a thousand of each."""

import importlib.util
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("fuzz", Path(__file__).with_name("fuzz.py"))
assert spec is not None
assert spec.loader is not None
fuzz = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fuzz)


@pytest.mark.parametrize("kind", [*fuzz.SEQUENCES, "checkpoint", "config.yaml"])
def test_a_damaged_file_ends_in_a_result_or_a_message(kind: str, tmp_path: Path) -> None:
    counts = fuzz.fuzz(kind, 25, 1, tmp_path)
    assert counts["failed"] == 0, "\n".join(path.read_text() for path in tmp_path.glob("*.txt"))
    assert counts["read"] + counts["refused"] == 25
    assert counts["refused"] > 0


def test_a_reader_that_fails_is_noticed(tmp_path: Path) -> None:
    assert "IndexError" in fuzz.attempt(lambda data: data[100], b"short")
