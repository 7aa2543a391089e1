"""Whatever happens to the cache of compiled libraries: right numbers, exit code 0, at most one warning."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import caches
import pytest

from rnnkit.engines import toolchain

pytestmark = pytest.mark.skipif(toolchain.missing() is not None, reason=f"{toolchain.missing()}")

QUICK = [
    *("cut to 3000 bytes", "a bit flipped at 0.5", "a pipe", "an entry without a checksum"),
    *("a folder of another user", "a full disk under the cache", "a folder that vanishes"),
    *("cell: cut to 3000 bytes", "cell: a full disk"),
]
SLOW = [name for name in caches.CASES if name not in QUICK]
ONLY_ROOT = ["a folder of another user"]
NO_CACHE = {
    **dict.fromkeys(("a directory with a file", "a file in place of the folder"), "exists|Is a directory"),
    **dict.fromkeys(("a folder of another user", "a folder that anybody can write into"), "other users can write"),
    **dict.fromkeys(("a full disk under the cache", "cell: a full disk under the cache"), "No space left on device"),
    "a home that does not exist": "home",
}
"""The cases in which nothing can be kept, and what the warning says of it."""
NO_COMPILER = {
    "cell: a full disk": "MGUCell runs as a Python loop",
    "cell: products cut to 3000 bytes on a full disk": "products are computed by torch",
}


def found(names: list[str], folder: Path) -> dict[str, dict[str, Any]]:
    script = [sys.executable, caches.__file__, str(folder), *names]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {case.pop("case"): case for case in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("names", [QUICK, pytest.param(SLOW, marks=pytest.mark.slow)], ids=["quick", "slow"])
def test_a_damaged_cache_is_mended_or_done_without(names: list[str], tmp_path: Path) -> None:
    names = [name for name in names if os.geteuid() == 0 or name not in ONLY_ROOT]
    cases = found(names, tmp_path)
    assert list(cases) == names
    for name, case in cases.items():
        assert case["status"] == 0, (name, case)
        if name != "a full disk":  # where there is no library, no engine, and so no number
            assert case["error"] < 1e-4, (name, case)
        expected = NO_CACHE.get(name) or NO_COMPILER.get(name)
        assert case["said"].count("UserWarning") == (expected is not None), (name, case)
        assert any(words in case["said"] for words in (expected or "").split("|")), (name, case)
        assert case["mended"] == (expected is None and name != "a full disk"), (name, case)
