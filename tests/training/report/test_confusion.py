"""The picture of the confusion matrix: in TensorBoard, in the run folder, or one warning."""

import gc
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnnkit.cli import run
from rnnkit.training.report import confusion
from rnnkit.training.report import figure as figures
from rnnkit.training.report.figure import rasterized

TRAIN = ["train", "task=classification", "data=cylinder_bell_funnel", "model.hidden_size=8", "data.batch_size=16"]
TRAIN += ["trainer.max_epochs=3", "trainer.limit_train_batches=2"]


def images(folder: Path) -> list[int]:
    board = EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()
    return [event.step for event in board.Images("val/confusion")] if board.Tags()["images"] else []


def test_dark_is_where_a_class_goes() -> None:
    pytest.importorskip("matplotlib")
    matrix_CC = torch.tensor([[100, 0], [1, 1]])
    pixels = rasterized(confusion.draw(["a class of a very long name", "b"], matrix_CC))
    other = rasterized(confusion.draw(["a class of a very long name", "b"], matrix_CC.flip(0)))
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    assert pixels.shape == other.shape
    assert not np.array_equal(pixels, other)
    upper = slice(pixels.shape[0] // 4, pixels.shape[0] // 3)
    assert pixels[upper].min() < 60  # 100 of 100
    assert rasterized(confusion.draw([str(c) for c in range(60)], torch.eye(60).long())).shape[1] < 2000


def test_pictures_are_drawn_first_and_last(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run([*TRAIN, f"run_dir={tmp_path / 'run'}"]) == 0
    assert images(tmp_path / "run") == [2, 6]
    assert (tmp_path / "run" / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_pictures_are_drawn_as_often_as_there_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(figures, "SECONDS", 0.0)
    assert run([*TRAIN, f"run_dir={tmp_path / 'run'}"]) == 0
    assert images(tmp_path / "run") == [2, 4, 6]


def test_a_drawing_is_gone_once_it_is_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure
    monkeypatch.setattr(figures, "SECONDS", 0.0)
    gc.collect()
    assert run([*TRAIN, f"run_dir={tmp_path / 'run'}"]) == 0
    assert gc.isenabled()
    assert not any(type(thing) is figure for thing in gc.get_objects())


def test_without_matplotlib_one_warning_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(figures, "SECONDS", 0.0)
    with pytest.warns(UserWarning, match=r"matplotlib is missing.*rnnkit\[viz\]") as warned:
        assert run([*TRAIN, f"run_dir={tmp_path / 'run'}"]) == 0
    assert len(warned) == 1
    assert images(tmp_path / "run") == []
    assert not (tmp_path / "run" / "confusion.png").exists()
