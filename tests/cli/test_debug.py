"""`debug=limit`, `debug=overfit` and `debug=profiler`: short ways to see what is wrong with a run."""

import csv
import json
from pathlib import Path

import pytest

from rnnkit.cli import run
from rnnkit.data import SequenceData

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers.*")


@pytest.fixture
def reviews(tmp_path: Path) -> list[str]:
    rows = [f"{'good' if n % 3 else 'bad'} film {n},{'yes' if n % 3 else 'no'}" for n in range(400)]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    data = ["data=labeled_text", f"data.path={tmp_path}/reviews.csv", "data.batch_size=2", "model.hidden_size=8"]
    return ["train", "task=classification", *data, f"run_dir={tmp_path / 'run'}", "trainer.enable_progress_bar=false"]


def summary(folder: Path) -> dict[str, float]:
    return dict(json.loads((folder / "run" / "summary.json").read_text()))


def test_a_limit_goes_from_the_start_to_the_end(reviews: list[str], tmp_path: Path) -> None:
    assert run([*reviews, "debug=limit"]) == 0
    found = summary(tmp_path)
    assert (found["epochs"], found["steps"]) == (3, 3)


def test_few_batches_are_learned_by_heart(reviews: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, ...]] = []
    batches = SequenceData.batches

    def noted(self: SequenceData, split: str, size: int, *, shuffle: bool = False) -> object:
        found = batches(self, split, size, shuffle=shuffle)
        if split == "train":
            collate = found._collate
            found._collate = lambda indices: (seen.append(tuple(indices)), collate(indices))[1]
        return found

    monkeypatch.setattr(SequenceData, "batches", noted)
    assert run([*reviews, "debug=overfit", "check_memory=false"]) == 0
    trained = seen[-300:]
    assert len(set(trained)) == 3
    assert trained == trained[:3] * 100
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert losses[-1] < 0.3 * losses[0]


def test_windows_of_text_are_learned_by_heart(small: list[str], tmp_path: Path) -> None:
    own = ["data.random_steps=true", "trainer.max_epochs=40", "trainer.limit_train_batches=null"]
    words = [item for item in small if not item.startswith("trainer.")]
    assert run(["train", *words, "debug=overfit", *own, f"run_dir={tmp_path / 'run'}"]) == 0
    found = summary(tmp_path)
    assert found["steps"] == 120
    assert found["time_steps"] == 120 * 4 * 16


@pytest.mark.parametrize("kind", ["simple", pytest.param("advanced", marks=pytest.mark.slow)])
def test_a_profile_is_printed(kind: str, reviews: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    few = ["trainer.limit_train_batches=2", "trainer.log_every_n_steps=1"]
    assert run([*reviews, "debug=profiler", *few, f"trainer.profiler={kind}"]) == 0
    assert "run_training_epoch" in capsys.readouterr().out


def test_the_traceback_has_a_word_of_its_own(reviews: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*reviews, "debug=all"]) == 2
    assert "debug: expected one of limit, overfit, profiler; got 'all'" in capsys.readouterr().err
    with pytest.raises(ValueError, match="hidden_size"):
        run([*reviews, "debug=limit", "debug=true", "model.hidden_size=0"])
