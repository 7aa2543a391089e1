"""The compiler of the machine, where there is none or it fails, and the cache of what it has made."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from rnnkit import scan
from rnnkit.cells import LSTMCell, MGUCell
from rnnkit.engines import compiled, explain, toolchain

SOURCE = 'extern "C" int answer() { return 42; }\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, as a new process would find it."""
    monkeypatch.setenv("RNNKIT_CACHE", str(tmp_path / "cache"))
    forget()
    yield tmp_path / "cache"
    monkeypatch.undo()
    forget()


def forget() -> None:
    for cached in (toolchain._compiler, toolchain._machine):
        cached.cache_clear()
    toolchain._warned = False


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    calls: list[Any] = []
    run = subprocess.run

    def counting(command: list[str], **options: Any) -> Any:
        # Others start processes too, such as `platform` to learn of the processor.
        calls.extend([command] if "-shared" in command else [])
        return run(command, **options)

    monkeypatch.setattr(toolchain.subprocess, "run", counting)
    return calls


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


def test_a_text_is_compiled_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(monkeypatch)
    assert [toolchain.load(SOURCE).answer() for _ in range(2)] == [42, 42]
    assert len(calls) == 1
    assert toolchain.load(SOURCE.replace("42", "43")).answer() == 43
    assert len(calls) == 2
    assert sorted(path.suffix for path in folder.iterdir()) == [".so", ".so"]


def test_another_process_finds_it_on_disk(folder: Path) -> None:
    toolchain.load(SOURCE)
    load = f"from rnnkit.engines import toolchain as t; t._compile = None; assert t.load({SOURCE!r}).answer() == 42"
    subprocess.run([sys.executable, "-c", load], check=True, env={**os.environ, "RNNKIT_CACHE": str(folder)})


@pytest.mark.parametrize("damaged", [False, True])
def test_two_processes_may_compile_at_once(damaged: bool, folder: Path) -> None:
    if damaged:
        toolchain.load(SOURCE)
        (library,) = folder.iterdir()
        beginning = library.read_bytes()[:3000]
        library.unlink()  # the file that is loaded here must stay as it is
        library.write_bytes(beginning)
    load = f"from rnnkit.engines import toolchain; assert toolchain.load({SOURCE!r}).answer() == 42"
    environment = {**os.environ, "RNNKIT_CACHE": str(folder)}
    both = [subprocess.Popen([sys.executable, "-c", load], env=environment) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert [path.suffix for path in folder.iterdir()] == [".so"]


def test_other_flags_are_another_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toolchain.load(SOURCE)
    monkeypatch.setattr(toolchain, "FLAGS", (*toolchain.FLAGS, "-DOTHER"))
    toolchain.load(SOURCE)
    assert len(list(folder.iterdir())) == 2


def test_the_named_compiler_is_taken(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    real = toolchain._compiler()
    monkeypatch.setenv("CXX", str(script(tmp_path / "my-compiler", f'echo called >> {log}\nexec {real} "$@"')))
    forget()
    assert toolchain.load(SOURCE).answer() == 42
    assert log.read_text() == "called\n"


def test_a_folder_that_cannot_be_written_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("RNNKIT_CACHE", str(blocked / "cache"))
    forget()
    with pytest.warns(UserWarning, match="compiles it again: .*Not a directory.*Set RNNKIT_CACHE") as caught:
        found = [toolchain.load(text).answer() for text in (SOURCE, SOURCE.replace("42", "43"))]
    assert found == [42, 43]
    assert len(caught) == 1
    assert blocked.read_text() == ""
    monkeypatch.undo()
    forget()


@pytest.mark.usefixtures("folder")
def test_what_the_compiler_says_is_the_message() -> None:
    with pytest.raises(toolchain.CompilerError, match=r"error: .*nonsense"):
        toolchain.load("int main() { return nonsense; }")


def test_without_a_compiler_one_warning_and_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_compiler", lambda: None)
    compiled._warn.cache_clear()
    cell, x = MGUCell(3, 4), torch.randn(2, 20, 3)
    with pytest.warns(UserWarning, match=r"no C\+\+ compiler") as caught:
        found = [scan(cell, x)[0] for _ in range(2)]
    assert len(caught) == 1
    assert all(torch.equal(y, scan(cell, x, engine="reference")[0]) for y in found)
    assert "no C++ compiler" in explain(cell, x).ruled_out["compiled"]


@pytest.mark.parametrize("padded", [False, True])
def test_a_compiler_that_fails_costs_one_warning_and_the_speed(padded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: str) -> Any:
        raise toolchain.CompilerError("internal compiler error")

    monkeypatch.setattr(toolchain, "load", fail)
    compiled._warn.cache_clear()
    cell, x = MGUCell(3, 4), torch.randn(2, 20, 3)
    lengths = torch.tensor([20, 3]) if padded else None
    with pytest.warns(UserWarning, match="Python loop: internal compiler error") as caught:
        found = [scan(cell, x, lengths=lengths)[0] for _ in range(2)]
    assert len(caught) == 1
    assert all(torch.equal(y, scan(cell, x, lengths=lengths, engine="reference")[0]) for y in found)


def test_cells_with_kernels_of_their_own_need_no_compiler(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(toolchain, "_compiler", lambda: None)
    assert explain(LSTMCell(3, 4), torch.randn(2, 20, 3)).engine == "native"
    assert not recwarn.list


@pytest.mark.usefixtures("folder")
def test_a_folder_that_is_read_only_serves_what_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    toolchain.load(SOURCE)
    monkeypatch.setattr(toolchain, "_keep", lambda *_: pytest.fail("written to"))
    assert toolchain.load(SOURCE).answer() == 42


@pytest.mark.usefixtures("folder")
def test_a_compiler_that_makes_nothing_is_one_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", str(script(tmp_path / "my-compiler", "exit 0")))
    forget()
    with pytest.raises(toolchain.CompilerError, match="my-compiler wrote no library"):
        toolchain.load(SOURCE)
