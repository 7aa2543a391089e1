"""A trained model serves where the packages that only training needed are not installed."""

import importlib
import sys
from pathlib import Path

import lightning
import pytest
import torch

from rnnkit.batch import SequenceBatch
from rnnkit.cells import GRUCell
from rnnkit.cli import run
from rnnkit.errors import UserError
from rnnkit.models import LanguageModel
from rnnkit.tasks import LanguageModeling
from rnnkit.training import ClipPercentile, Run

OWN = """
import torch
from rnnkit.training import ClipPercentile, constant


class Descent(torch.optim.SGD):
    pass


class Clip(ClipPercentile):
    pass


def level(optimizer, total_steps, **options):
    return constant(optimizer, total_steps, **options)
"""
TASK = """
from rnnkit.tasks import LanguageModeling


class Mine(LanguageModeling):
    def __init__(self, model, optimizer, schedule, clip, **options):
        super().__init__(model, optimizer, schedule, clip, **options)
"""


def test_a_run_serves_without_the_packages_of_its_training(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RNNKIT_ALLOW", "only_training,own_task")
    (tmp_path / "only_training.py").write_text(OWN)
    (tmp_path / "own_task.py").write_text(TASK)
    parts = ["optimizer=sgd", "optimizer._target_=only_training.Descent", "task._target_=own_task.Mine"]
    parts += ["clipping=percentile", "clipping._target_=only_training.Clip"]
    parts += ["schedule=constant", "schedule._target_=only_training.level"]
    assert run(["train", *small, *parts, "trainer.max_epochs=1", "run_dir=run"]) == 0
    kept = Run.open("run").checkpoint("best")["state_dict"]
    assert any(name.startswith("clip.") for name in kept)
    (tmp_path / "only_training.py").unlink()
    monkeypatch.delitem(sys.modules, "only_training")
    importlib.invalidate_caches()
    assert run(["resume", "run", "trainer.max_epochs=2"]) == 2
    assert "only_training" in capsys.readouterr().err
    assert run(["evaluate", "run", "--split", "valid"]) == 0
    assert run(["generate", "run", "--length", "4", "--seed", "1"]) == 0
    task = Run.open("run").task()
    assert (task.optimizer, task.schedule, task.clip) == (None, None, None)
    assert all(torch.equal(kept[name], weight) for name, weight in task.state_dict().items())


OWN_TASKS = """
import torch
from rnnkit.tasks import LanguageModeling


class Bare(LanguageModeling):
    def __init__(self, model, unit="char", shift=0.0, **others):
        super().__init__(model, unit=unit, **others)
        self.shift = shift


class Lightnings(Bare):
    def configure_optimizers(self):
        return torch.optim.SGD([{"params": self.model.parameters(), "lr": 0.25}])
"""


@pytest.mark.parametrize("name", ["Bare", "Lightnings"])
def test_a_task_of_ones_own_needs_no_word_of_optimizers_or_has_its_own(
    name: str, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RNNKIT_ALLOW", "own_tasks")
    (tmp_path / "own_tasks.py").write_text(OWN_TASKS)
    parts = [f"task._target_=own_tasks.{name}", "clipping=percentile"]
    assert run(["train", *small, *parts, "trainer.max_epochs=1", "run_dir=run"]) == 0
    found = Run.open("run").checkpoint("last")
    (group,) = found["optimizer_states"][0]["param_groups"]
    assert ("betas" in group) == (name == "Bare")  # AdamW's
    assert name == "Bare" or group["lr"] == 0.25
    assert any(key.startswith("clip.") for key in found["state_dict"])
    assert run(["resume", "run", "trainer.max_epochs=2"]) == 0
    assert run(["evaluate", "run", "--split", "valid"]) == 0


def test_a_run_that_went_bad_is_replayed_without_them(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = ClipPercentile.forward

    def poisoned(self: ClipPercentile, parameters: list[torch.nn.Parameter]) -> tuple[torch.Tensor, torch.Tensor]:
        parameters[0].grad.fill_(torch.nan)  # type: ignore[union-attr]
        return original(self, parameters)

    monkeypatch.setattr(ClipPercentile, "forward", poisoned)
    assert run(["train", *small, "clipping=percentile", f"run_dir={tmp_path / 'run'}"]) == 2
    capsys.readouterr()
    assert run(["replay", str(tmp_path / "run")]) == 0
    assert "none, all values are finite this time" in capsys.readouterr().out


def test_a_task_without_an_optimizer_predicts_and_is_not_trained() -> None:
    task = LanguageModeling(LanguageModel(5, GRUCell, hidden_size=4))
    task.update_metrics(SequenceBatch(torch.zeros(1, 3).long(), torch.zeros(1, 3).long(), None), "val")
    assert task.compute_metrics("val")["loss"] > 0
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(accelerator="cpu", max_epochs=1, enable_model_summary=False, **quiet)  # type: ignore[arg-type]
    loader = torch.utils.data.DataLoader(torch.ones(3, 1))
    with pytest.raises(UserError, match=r"optimizer: expected .*; got None. Try: optimizer=functools"):
        trainer.fit(task, loader, loader)
