"""YAML files from elsewhere: what they may hold."""

from pathlib import Path

import pytest

from rnnkit.plain_yaml import UnfitError, plain_text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('data: {path: "a\\0b"}', "NUL character"),
        ("a: !!python/name:os.system x", "no plain value"),
        ("a: " + "[" * 60 + "]" * 60, "nested more than 50 deep"),
        ("a: &a [1, *a]", "repeats what it is part of"),
    ],
)
def test_what_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UnfitError, match=reason):
        plain_text(tmp_path / "config.yaml")
