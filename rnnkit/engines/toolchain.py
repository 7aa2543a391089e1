"""From C++ text to a loaded library: the machine's own compiler, and a cache on disk."""

import contextlib
import ctypes
import errno
import functools
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
import warnings
from pathlib import Path

from rnnkit.folders import cache_folder

FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-fopenmp",
    "-ffp-contract=fast",
    # Neither changes a number; without them rint, sqrt and selections are not vectorized.
    "-fno-math-errno",
    "-fno-trapping-math",
    # Its rearrangements put branches into loops that had none, which then are not vectorized.
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

    The cache is `rnnkit.folders.cache_folder()`. A file in it is named after the
    text, the flags, the compiler and the processor, and after its own content: `NAME-SHA256.so`. So a stale file is
    never found, and a damaged one is never loaded but compiled again. Where the cache cannot be used, one warning says
    why, and what is compiled serves this process alone. OpenMP is the one torch has loaded.

    Raises `CompilerError` where the compiler does not accept the text, where there is none, and where its result cannot
    be written or loaded.
    """
    # torch's OpenMP must be the first in the process: two of them would fight for the cores.
    import torch  # noqa: F401

    name = hashlib.sha256("\n".join((source, *_flags(), _machine())).encode()).hexdigest()[:32]
    with contextlib.suppress(OSError):
        kept = _find(_cache(), name)
        if kept is not None:
            return ctypes.CDLL(str(kept))
    try:
        with tempfile.TemporaryDirectory(prefix="rnnkit-", ignore_cleanup_errors=True) as folder:
            return _opened(_compile(source, Path(folder)), name)
    except OSError as error:
        raise CompilerError(f"what the compiler makes cannot be written or loaded here: {error}") from error


def _opened(built: Path, name: str) -> ctypes.CDLL:
    """A new library, from the cache if it can be kept there, else from where it is."""
    try:
        return ctypes.CDLL(str(_keep(built, _cache(), name)))
    except OSError as error:
        _warn_once(error)
        return ctypes.CDLL(str(built))


def _compile(source: str, folder: Path) -> Path:
    compiler = _compiler()
    if compiler is None:
        raise CompilerError(missing())
    text, library = folder / "kernel.cpp", folder / "kernel.so"
    text.write_text(source)
    command = [compiler, *_flags(), str(text), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CompilerError(f"{compiler} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    if not library.is_file():
        raise CompilerError(f"{compiler} wrote no library")
    return library


def _find(folder: Path, name: str) -> Path | None:
    """The file of that name whose content is what it was when it was written; damaged ones are removed."""
    for path in folder.glob(f"{name}-*.so"):
        with contextlib.suppress(OSError):
            if path.is_file() and path.name == _file_name(path, name):
                return path
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    return None


def _keep(built: Path, folder: Path, name: str) -> Path:
    """Copy a library into the cache, where it appears whole or not at all; raises OSError."""
    path = folder / _file_name(built, name)
    # The name is new each time: another process, or another thread, may be writing the same library.
    handle, part = tempfile.mkstemp(".part", "", folder)
    os.close(handle)
    try:
        shutil.copy(built, part)  # with its mode: mkstemp would keep it from colleagues
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)
    return path


def _file_name(path: Path, name: str) -> str:
    with path.open("rb") as file:
        # The name is part of what is summed up: a file cannot be copied to another one's name.
        digest = hashlib.file_digest(file, lambda: hashlib.sha256(name.encode()))
    return f"{name}-{digest.hexdigest()}.so"


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


def _cache() -> Path:
    """The folder of the cache; raises OSError where there is none that can be trusted."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    found = folder.stat()
    # Whoever can write into it decides what runs here.
    if found.st_uid not in (os.geteuid(), 0) or found.st_mode & stat.S_IWOTH:
        raise PermissionError(errno.EPERM, "other users can write into it", str(folder))
    return folder


_warned = False


def _warn_once(error: OSError) -> None:
    global _warned
    if not _warned:
        _warned = True
        text = f"what rnnkit compiles is not kept, and every process compiles it again: {str(error).rstrip('.')}"
        warnings.warn(f"{text}. Set RNNKIT_CACHE to a folder of your own that can be written", stacklevel=2)
