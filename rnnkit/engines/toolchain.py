"""Compilation of C++ code into libraries, by the machine's own compiler, with a cache on disk."""

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
    # neither flag changes results; without them rint, sqrt and selections are not vectorized
    "-fno-math-errno",
    "-fno-trapping-math",
    # it adds branches to loops without any, which then are not vectorized
    "-fno-tree-pre",
    "-fPIC",
    "-shared",
)


class CompilerError(RuntimeError):
    """Raised if the compiler rejects generated code; the message is the compiler's."""


def missing() -> str | None:
    """Return why nothing can be compiled on this machine; None if it can."""
    if _compiler() is None:
        return "there is no C++ compiler (install g++, or set CXX)"
    return None


def load(source: str) -> ctypes.CDLL:
    """Compile C++ code and return the library, from the cache if the same code was compiled before.

    The cache is `rnnkit.folders.cache_folder()`. A file in it is named after the code, the flags, the compiler and the
    processor, and after its own content: `NAME-SHA256.so`. Therefore a stale file is never found, and a damaged file is
    never loaded but compiled again. If the cache cannot be used, one warning gives the reason, and the library is used
    by this process only. OpenMP is the one that torch has loaded.

    Raises:
        CompilerError: if there is no compiler, it rejects the code, or its result cannot be written or loaded.
    """
    # torch's OpenMP must be the first one in the process: two of them would compete for the cores
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
        raise CompilerError(f"the compiled library cannot be written or loaded: {error}") from error


def _opened(built: Path, name: str) -> ctypes.CDLL:
    """Return a new library, from the cache if it can be stored there, else from its temporary place."""
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
    """Return the file of that name whose content matches its checksum; remove damaged ones."""
    for path in folder.glob(f"{name}-*.so"):
        with contextlib.suppress(OSError):
            if path.is_file() and path.name == _file_name(path, name):
                return path
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    return None


def _keep(built: Path, folder: Path, name: str) -> Path:
    """Copy a library into the cache atomically; raise OSError if that fails."""
    path = folder / _file_name(built, name)
    # a new name each time: another process or thread may be writing the same library
    handle, part = tempfile.mkstemp(".part", "", folder)
    os.close(handle)
    try:
        shutil.copy(built, part)  # with its mode: that of mkstemp would exclude other users
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)
    return path


def _file_name(path: Path, name: str) -> str:
    with path.open("rb") as file:
        # the checksum includes the name, so that a file cannot be copied to another name
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
    """Return what compiled code depends on besides its source: the compiler and the processor."""
    compiler = Path(_compiler() or "").resolve()
    stamp = f"{compiler} {compiler.stat().st_mtime_ns}" if compiler.is_file() else ""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return f"{stamp} {platform.machine()} {features}"


def _cache() -> Path:
    """Return the folder of the cache; raise OSError if there is none that can be trusted."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    found = folder.stat()
    # whoever can write into it could run code here
    if found.st_uid not in (os.geteuid(), 0) or found.st_mode & stat.S_IWOTH:
        raise PermissionError(errno.EPERM, "other users can write into it", str(folder))
    return folder


_warned = False


def _warn_once(error: OSError) -> None:
    global _warned
    if not _warned:
        _warned = True
        text = f"compiled code is not cached, and every process compiles it again: {str(error).rstrip('.')}"
        warnings.warn(f"{text}. Set RNNKIT_CACHE to a folder of your own that is writable", stacklevel=2)
