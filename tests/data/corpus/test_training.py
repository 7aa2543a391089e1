"""Training from a corpus that does not fit memory: the same weights, flat memory, and no care for the files."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rnnkit.cli import run
from rnnkit.data import TextData
from rnnkit.data.corpus import store, windows
from rnnkit.data.io import blocks
from rnnkit.errors import UserError

TRAIN = ["trainer.max_epochs=2", "trainer.limit_train_batches=12", "trainer.log_every_n_steps=5"]


def weights(corpus: Path, folder: Path, *overrides: str) -> bytes:
    sizes = ["model.hidden_size=8", "model.num_layers=1", "data.lanes=4", "data.bptt_steps=16"]
    assert run(["train", f"data.path={corpus}", *sizes, *TRAIN, f"run_dir={folder}", *overrides]) == 0
    return (folder / "checkpoints" / "best.safetensors").read_bytes()


@pytest.mark.parametrize("level", ["char", "word"])
@pytest.mark.parametrize(
    "harm", [Path.unlink, lambda path: path.write_text("other")], ids=["disappears", "is overwritten"]
)
def test_a_file_that_goes_while_training_does_no_harm(
    harm: Callable[[Path], object], level: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_peace = weights(corpus, tmp_path / "peace", f"data.level={level}")
    copy = tmp_path / "corpus.txt"
    copy.write_bytes(corpus.read_bytes())
    make = TextData.train_dataloader

    def harmed(self: TextData) -> windows.Windows:
        if copy.exists() and copy.stat().st_size > 10:
            harm(copy)
        assert not isinstance(self.splits["train"].tokens, torch.Tensor)
        return make(self)

    monkeypatch.setattr(TextData, "train_dataloader", harmed)
    monkeypatch.setattr(blocks, "BLOCK", 999)
    monkeypatch.setattr(store, "CHUNK", 500)
    monkeypatch.setattr(store, "IN_MEMORY", 1000)
    monkeypatch.setattr(windows, "AHEAD", 150)
    assert weights(copy, tmp_path / "harmed", f"data.level={level}") == in_peace
    assert not copy.exists() or copy.read_text() == "other"


def test_figures_of_a_text_on_disk_are_those_of_a_text_in_memory(
    trained: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for in_memory in (1 << 26, 1000):
        monkeypatch.setattr(store, "IN_MEMORY", in_memory)
        monkeypatch.setattr(store, "CHUNK", 500)
        assert run(["evaluate", str(trained), "--data", str(corpus), "--lanes", "4"]) == 0
        said.append([line for line in capsys.readouterr().out.splitlines() if "tokens/s" not in line])
    assert said[0] == said[1]
    assert len(said[0]) > 4


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "growing.txt"
    path.write_text("to be or not to be\n" * 100)
    monkeypatch.setattr(blocks, "BLOCK", 1000)
    append = store.Store.append

    def meanwhile(self: store.Store, numbers: object) -> None:
        append(self, numbers)  # type: ignore[arg-type]
        with path.open("a") as file:
            file.write("more\n" if path.stat().st_size < 1915 else "")

    monkeypatch.setattr(store.Store, "append", meanwhile)
    with pytest.raises(UserError, match=r"does not change .*growing\.txt, which was written to: 1,900 bytes at first"):
        TextData(path=path).setup()


MEASURE = """
import sys, resource
from rnnkit.cli import run
from rnnkit.data.corpus import store
store.IN_MEMORY = 1 << 20
small = ["model.hidden_size=8", "model.num_layers=1", "trainer.max_steps=40", "trainer.limit_val_batches=4"]
plain = ["trainer.max_epochs=-1", "trainer.enable_progress_bar=false", "callbacks.sample.length=8"]
assert run(["train", *sys.argv[1:], *small, *plain]) == 0
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("level", ["char", "byte", "word"])
def test_memory_does_not_grow_with_the_corpus(level: str, tmp_path: Path) -> None:
    line = "".join(f"{n} bottles of beer on the wall\n" for n in range(1000))
    peaks = []
    for mib in (16, 64):
        path = tmp_path / f"{mib}.txt"
        path.write_text(line * (mib * 2**20 // len(line)))
        command = [
            sys.executable,
            "-c",
            MEASURE,
            f"data.path={path}",
            f"data.level={level}",
            f"run_dir={tmp_path / str(mib)}",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.split("peak ")[1]))
        path.unlink()
    assert peaks[1] - peaks[0] < 24  # MiB, for 48 of text; int32 ids and 64-bit lanes would be hundreds


@pytest.mark.slow
@pytest.mark.parametrize("level", ["char", "byte", "word"])
def test_a_line_and_a_word_of_a_hundred_million_bytes(level: str, tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(b"a b\n" + "é".encode() * 50_000_000 + b" c d\n" + b"e f g\n" * 1000)
    data = TextData(train=path, valid=path, level=level, lanes=1, bptt_steps=8)
    data.setup()
    assert len(data.splits["train"].tokens) == {"char": 50_006_009, "byte": 100_006_009, "word": 4007}[level]
    assert data.splits["train"].words == 4007
