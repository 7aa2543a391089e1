"""A change of the public surface is a decision: it changes tests/api.txt as well."""

from difflib import unified_diff
from pathlib import Path

import api


def test_the_public_names_and_signatures_are_those_decided_on() -> None:
    decided = Path(__file__).with_name("api.txt").read_text().splitlines()
    changes = list(unified_diff(decided, list(api.lines()), "decided", "found", lineterm="", n=0))
    assert not changes, "\n".join(["python tests/api.py > tests/api.txt, if this is meant:", *changes])
