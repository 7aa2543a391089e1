"""A checkpoint is whole or not there; what is damaged is named, and the one before it is used."""

import errno
import os
import pickle
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from rnnkit.cli import run
from rnnkit.training import Run
from rnnkit.training.run import storage
from rnnkit.training.run.lock import run_lock

CHECKPOINT = {"state_dict": {"weight": torch.arange(500.0)}, "global_step": 3, "nested": [{"rate": 0.1}]}


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def test_what_is_written_is_read_and_torch_reads_it_too(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    storage.write(CHECKPOINT, path)
    for found in (storage.read(path), torch.load(path, weights_only=True)):
        assert torch.equal(found["state_dict"]["weight"], CHECKPOINT["state_dict"]["weight"])  # type: ignore[index]
        assert {**found, "state_dict": None} == {**CHECKPOINT, "state_dict": None}
    assert zipfile.ZipFile(path).testzip() is None
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_file_without_a_checksum_is_read(tmp_path: Path) -> None:
    """As torch and earlier versions write it."""
    torch.save(CHECKPOINT, tmp_path / "old.ckpt")
    assert storage.read(tmp_path / "old.ckpt")["global_step"] == 3


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_no_change_of_a_byte_and_no_cut_goes_unnoticed(data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "last.ckpt")
        storage.write(CHECKPOINT, path)
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            del content[place:]
        else:
            content[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        with pytest.raises(storage.DamagedFileError):
            storage.read(path)


def test_a_crafted_pickle_runs_nothing(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'sprung'}",)

    torch.save({"state_dict": Trap()}, tmp_path / "last.ckpt")
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps(Trap()))
    for name in ("last.ckpt", "plain.ckpt"):
        with pytest.raises(storage.DamagedFileError):
            storage.read(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        storage.AtomicCheckpointIO().save_checkpoint({"global_step": step}, tmp_path / "last.ckpt")
    assert storage.read(tmp_path / "last.ckpt")["global_step"] == 3
    assert storage.read(tmp_path / "before_last.ckpt")["global_step"] == 2


@pytest.mark.parametrize("step", ["write", "fsync", "link", "replace"])
def test_whatever_fails_in_between_a_whole_checkpoint_is_left(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = storage.AtomicCheckpointIO()
    kept.save_checkpoint({"global_step": 1}, tmp_path / "last.ckpt")
    kept.save_checkpoint({"global_step": 2}, tmp_path / "last.ckpt")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if step == "write":
        monkeypatch.setattr(Path, "open", full)
    else:
        monkeypatch.setattr(os, step, full)
    with pytest.raises(ValueError, match=r"a disk with room for checkpoints; got No space left on device"):
        kept.save_checkpoint({"global_step": 3}, tmp_path / "last.ckpt")
    monkeypatch.undo()
    assert storage.read(tmp_path / "last.ckpt")["global_step"] == 2
    assert storage.read(tmp_path / "before_last.ckpt")["global_step"] == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_last_checkpoint_is_named_and_the_one_before_is_gone_on_from(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = dict(Run.open(copy).checkpoint("last")["state_dict"])
    last = copy / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    assert run(["resume", str(copy)]) == 0
    assert "last.ckpt', damaged (its content does not match its checksum): resuming from before_last.ckpt" in (
        capsys.readouterr().err
    )
    again = dict(Run.open(copy).checkpoint("last")["state_dict"])
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_the_best_weights_are_there_for_other_programs(trained: Path) -> None:
    weights = dict(Run.open(trained).checkpoint("best")["state_dict"])
    found = load_file(trained / "checkpoints" / "best.safetensors")
    assert {name for name in weights if name.startswith("model.")} <= set(found)
    assert all(torch.equal(found[name], weights[name]) for name in found)


def test_shared_weights_are_written_once_and_their_other_name_is_told(tmp_path: Path) -> None:
    from safetensors import safe_open

    weight = torch.randn(3, 2)
    storage.AtomicCheckpointIO().save_checkpoint({"state_dict": {"a": weight, "b": weight}}, tmp_path / "best.ckpt")
    with safe_open(tmp_path / "best.safetensors", "pt") as file:
        assert list(file.keys()) == ["a"]
        assert file.metadata() == {"b": "a"}


def test_a_run_folder_has_one_writer(tmp_path: Path, capsys: pytest.CaptureFixture[str], small: list[str]) -> None:
    folder = tmp_path / "run"
    holder = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            f"import pathlib, sys; from rnnkit.training.run.lock import run_lock\n"
            f"with run_lock(pathlib.Path({str(folder)!r}), new=True): print('held', flush=True); sys.stdin.read()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert run(["train", *small, f"run_dir={folder}"]) == 2
    assert f"which process {holder.pid} is writing to" in capsys.readouterr().err
    holder.kill()
    holder.communicate()
    with run_lock(folder, new=True):  # nothing is left of a process that was killed
        pass
    assert not list(folder.iterdir())


def test_a_worker_that_outlives_a_killed_run_does_not_hold_its_folder(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, time\n"
        "from rnnkit.training.run.lock import run_lock\n"
        f"with run_lock(pathlib.Path({str(tmp_path)!r}), new=True):\n"
        "    if child := os.fork():\n"
        "        print(child, flush=True)\n"
        "    time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    with pytest.raises(ValueError, match=f"which process {holder.pid} is writing to"), run_lock(tmp_path, new=True):
        pass
    holder.kill()
    holder.wait()
    try:
        os.kill(child, 0)  # it is alive
        with run_lock(tmp_path, new=True):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        holder.stdout.close()
