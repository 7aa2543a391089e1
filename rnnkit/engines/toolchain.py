"""From C++ text to a loaded library: the machine's own compiler, and a cache on disk."""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-fopenmp",
    "-ffp-contract=fast",
    # Neither changes a number; without them rint, sqrt and selections are not vectorised.
    "-fno-math-errno",
    "-fno-trapping-math",
    # Its rearrangements put branches into loops that had none, which then are not vectorised.
    "-fno-tree-pre",
    "-fPIC",
    "-shared",
)


class CompilerError(RuntimeError):
    """The compiler refused a generated text; its own words are the message."""


def missing() -> str | None:
    """Why nothing can be compiled on this machine; None where it can."""
    if _compiler() is None:
        return "there is no C++ compiler here (install g++, or name one in CXX)"
    return None


def load(source: str) -> ctypes.CDLL:
    """The library made of a C++ text, from the cache where the same text was compiled before.

    The cache is `$RNNKIT_CACHE`, else `rnnkit` under `$XDG_CACHE_HOME` or `~/.cache`; a library is named after its
    text, the flags, the compiler and the processor, so that a stale one is never found. OpenMP is the one torch has
    loaded.

    Raises `CompilerError` where the compiler does not accept the text, or where there is none.
    """
    # torch's OpenMP must be the first in the process: two of them would fight for the cores.
    import torch  # noqa: F401

    name = hashlib.sha256("\n".join((source, *_flags(), _machine())).encode()).hexdigest()[:32]
    path = _cache() / f"{name}.so"
    if not path.exists():
        _compile(source, path)
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        # Cut short, as by a full disk or a power loss.
        path.unlink(missing_ok=True)
        _compile(source, path)
        return ctypes.CDLL(str(path))


def _compile(source: str, path: Path) -> None:
    compiler = _compiler()
    if compiler is None:
        raise CompilerError(missing())
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        text, library = Path(folder, "kernel.cpp"), Path(folder, "kernel.so")
        text.write_text(source)
        command = [compiler, *_flags(), str(text), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CompilerError(f"{compiler} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        # Another process may have compiled the same: whole files replace each other.
        os.replace(library, path)


def _flags() -> tuple[str, ...]:
    return (*FLAGS, "-mprefer-vector-width=512") if platform.machine() in ("x86_64", "AMD64") else FLAGS


@functools.cache
def _compiler() -> str | None:
    named = os.environ.get("CXX")
    return next((path for name in (named, "g++", "c++", "clang++") if name and (path := shutil.which(name))), None)


@functools.cache
def _machine() -> str:
    """What a compiled text depends on besides itself: the compiler and the processor."""
    compiler = Path(_compiler() or "").resolve()
    stamp = f"{compiler} {compiler.stat().st_mtime_ns}" if compiler.is_file() else ""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return f"{stamp} {platform.machine()} {features}"


@functools.cache
def _cache() -> Path:
    root = os.environ.get("RNNKIT_CACHE")
    folder = Path(root) if root else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rnnkit"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        # Nowhere to keep it: compile for this process alone.
        return Path(tempfile.mkdtemp(prefix="rnnkit-"))
