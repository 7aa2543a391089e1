"""Damages the cache of compiled libraries, and what it lies on, and runs a cell with it in a process of its own.

    python tests/faults/caches.py FOLDER [CASE ...]

Prints one JSON object for each case of `CASES`: the exit status of the process (negative: killed by that signal), its
largest error (null where there is no library, and an engine would go back to the Python loop), what it printed, and
whether the next process finds whole libraries. A case whose name begins with "cell" runs a whole cell against the
Python loop; the others load a library of one function.
"""

import errno
import json
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

SOURCE = 'extern "C" double twice(double x) { return 2 * x; }\n'
NOBODY = 65534


def cut(length: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, length)


def flip(share: float) -> Callable[[Path], None]:
    """Flip one bit, at that share of the file."""

    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(share * (len(content) - 1))] ^= 0x10
        path.write_bytes(content)

    return damage


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def full_directory(path: Path) -> None:
    directory(path)
    (path / "file").touch()


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def swapped(path: Path) -> None:
    """A whole library, but another one."""
    path.write_bytes(_another(path).read_bytes())


def renamed(path: Path) -> None:
    """A whole library, but another one, with the checksum of that."""
    other = _another(path)
    shutil.copy(other, path.with_name(f"{path.name.partition('-')[0]}-{other.name.partition('-')[2]}"))
    path.unlink()


def _another(path: Path) -> Path:
    return next(other for other in path.parent.glob("*.so") if other.stem[:20] != path.stem[:20])


def only_products(path: Path) -> None:
    if b"matmul_float" in path.read_bytes():
        cut(3000)(path)


def unnamed(path: Path) -> None:
    """As a version without checksums had named it, and cut short."""
    os.truncate(path, 3000)
    path.rename(path.with_name(f"{path.name.partition('-')[0]}.so"))


def full_disk() -> None:
    """The disk under the cache is full, and no other."""
    copy = shutil.copy

    def fail(source: Any, target: Any) -> None:
        copy(source, target)
        os.truncate(target, 100)
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    shutil.copy = fail


def small_files(size: int) -> Callable[[], None]:
    """No file may be longer: the compiler fails as it does on a full disk, here and in the temporary folder."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def no_home() -> None:
    os.environ.pop("RNNKIT_CACHE")
    os.environ.pop("XDG_CACHE_HOME", None)
    os.environ.pop("HOME", None)
    import pwd

    def unknown(user: int) -> Any:
        raise KeyError(user)

    pwd.getpwuid = unknown


def vanishing() -> None:
    """The folder goes away while the compiler runs."""
    from rnnkit.engines import toolchain

    compile_ = toolchain._compile

    def compiling(*arguments: Any) -> Path:
        shutil.rmtree(os.environ["RNNKIT_CACHE"])
        return compile_(*arguments)

    toolchain._compile = compiling


def strangers(folder: Path) -> None:
    os.chown(folder, NOBODY, NOBODY)


def open_to_all(folder: Path) -> None:
    folder.chmod(0o777)


def a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.touch()


FILES: dict[str, Callable[[Path], None]] = {
    **{f"cut to {length} bytes": cut(length) for length in (0, 1, 100, 3000)},
    **{f"a bit flipped at {share}": flip(share) for share in (0, 0.001, 0.5, 1)},
    "a directory": directory,
    "a directory with a file": full_directory,
    "a dangling link": dangling,
    "a pipe": pipe,
    "an entry without a checksum": unnamed,
    "cell: cut to 3000 bytes": cut(3000),
    "cell: another library": swapped,
    "cell: another library with its checksum": renamed,
    "cell: products cut to 3000 bytes on a full disk": only_products,
}
"""What happens to each library in the cache."""
FOLDERS: dict[str, Callable[[Path], None]] = {
    "a folder of another user": strangers,
    "a folder that anybody can write into": open_to_all,
    "a file in place of the folder": a_file,
    "no folder": shutil.rmtree,
}
"""What happens to the folder; the libraries in it are whole."""
PROCESSES: dict[str, Callable[[], None]] = {
    "a full disk under the cache": full_disk,
    "a full disk": small_files(2000),
    "a home that does not exist": no_home,
    "a folder that vanishes": vanishing,
    "cell: a full disk": small_files(20_000),
    "cell: products cut to 3000 bytes on a full disk": small_files(20_000),
    "cell: a full disk under the cache": full_disk,
}
"""What happens in the process, which finds an empty cache, unless the case is one of `FILES` too."""
CASES = list(dict.fromkeys([*FILES, *FOLDERS, *PROCESSES]))


def largest_error(whole_cell: bool) -> float | None:
    """Of what is computed with the library against what is right; None where there is no library."""
    import ctypes

    import torch

    from rnnkit import scan
    from rnnkit.cells import MGUCell
    from rnnkit.engines import toolchain

    if not whole_cell:
        try:
            twice = toolchain.load(SOURCE).twice
        except toolchain.CompilerError:
            return None
        twice.restype, twice.argtypes = ctypes.c_double, [ctypes.c_double]
        return abs(float(twice(21.0)) - 42)
    torch.manual_seed(0)
    cell, x = MGUCell(100, 100), torch.randn(128, 20, 100)
    found, right = (
        torch.autograd.grad(scan(cell, x, engine=engine)[0].sum(), list(cell.parameters()))
        for engine in ("auto", "reference")
    )
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, right, strict=True))


def child(whole_cell: bool, said: Path, prepare: Callable[[], None] = lambda: None) -> tuple[int, float | None]:
    """The exit status of a process, and the largest error that it found."""
    found = said.with_suffix(".json")
    found.write_text("null")
    process = os.fork()
    if not process:
        status = 1
        try:
            handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            answer = os.open(found, os.O_WRONLY | os.O_TRUNC)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            prepare()
            os.write(answer, json.dumps(largest_error(whole_cell)).encode())
            status = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        sys.stderr.flush()
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return status, json.loads(found.read_text())


def tried(name: str, whole: Path, place: Path) -> dict[str, Any]:
    """What becomes of a process that meets the case."""
    from rnnkit.engines import toolchain

    folder, said = place / "cache", place / "said"
    os.environ["RNNKIT_CACHE"] = str(folder)
    whole_cell = name.startswith("cell")
    if name in FILES or name in FOLDERS:
        shutil.copytree(whole, folder)
    else:
        folder.mkdir()
    if name in FOLDERS:
        FOLDERS[name](folder)
    for path in [*folder.glob("*.so")] if name in FILES else []:
        FILES[name](path)
    status, error = child(whole_cell, said, PROCESSES.get(name, lambda: None))
    answer = {"status": status, "error": error, "said": said.read_text()}

    def without_a_compiler() -> None:
        def fail(*_: Any) -> Path:
            raise toolchain.CompilerError("not found in the cache")

        toolchain._compile = fail

    found = child(whole_cell, said, without_a_compiler)
    return {**answer, "mended": found[0] == 0 and found[1] is not None and "UserWarning" not in said.read_text()}


def main() -> None:
    import torch

    import rnnkit.engines.compiled.trace.trace  # noqa: F401  imported once, not by every process
    from rnnkit.engines import toolchain

    torch.set_num_threads(1)
    toolchain._machine()  # `platform` asks other programs, once
    names = sys.argv[2:] or CASES
    base = Path(sys.argv[1])
    for whole_cell in {name.startswith("cell") for name in names}:
        whole = base / f"whole_{whole_cell}"
        os.environ["RNNKIT_CACHE"] = str(whole)
        assert child(whole_cell, base / "said")[0] == 0, (base / "said").read_text()
    for name in names:
        with tempfile.TemporaryDirectory(dir=base) as place:
            whole = base / f"whole_{name.startswith('cell')}"
            print(json.dumps({"case": name, **tried(name, whole, Path(place))}), flush=True)


if __name__ == "__main__":
    main()
