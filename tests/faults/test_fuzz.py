"""A few dozen damaged files of each kind; `make soak` tries a thousand of each."""

from pathlib import Path

import fuzz
import pytest


@pytest.mark.parametrize("kind", [*fuzz.SEQUENCES, *fuzz.OF_RUNS])
def test_a_damaged_file_ends_in_a_result_or_a_message(kind: str, tmp_path: Path) -> None:
    counts = fuzz.fuzz(kind, 25, 1, tmp_path)
    assert counts["failed"] == 0, "\n".join(path.read_text() for path in tmp_path.glob("*.txt"))
    assert counts["read"] + counts["refused"] == 25
    assert counts["refused"] > 0


def test_a_reader_that_fails_is_noticed(tmp_path: Path) -> None:
    assert "IndexError" in fuzz.attempt(lambda data: data[100], b"short")
