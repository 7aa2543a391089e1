"""What a run leaves behind, and that stopping and going on changes none of it."""

import csv
import json
import os
import signal
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnnkit.cli import run
from rnnkit.data import load_tokenizer
from rnnkit.training import Run

SCALARS = {
    *(f"train/{name}" for name in ("loss", "perplexity", "bits_per_char", "learning_rate", "gradient_norm")),
    *(f"train/{name}" for name in ("clipped_share", "carry_norm", "time_steps_per_second")),
    *(f"val/{name}" for name in ("loss", "perplexity", "bits_per_char")),
    "epoch",
    "seconds",
}


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return dict(Run.open(folder).checkpoint(name)["state_dict"])


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_run_folder_holds_what_its_description_says(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert {"config.yaml", "command.txt", "vocabulary.json", "checkpoints", "metrics.csv", "summary.json"} < names
    assert "insight.json" in names
    assert len([name for name in names if name.startswith("events.out.tfevents")]) == 1
    assert len(names) == 8
    assert {path.name for path in (trained / "checkpoints").iterdir()} == {
        *("best.ckpt", "best.safetensors", "last.ckpt", "before_last.ckpt")
    }


def test_the_configuration_is_resolved_with_the_sizes_that_the_data_decided(trained: Path) -> None:
    config = OmegaConf.load(trained / "config.yaml")
    assert config.model.vocabulary_size == len(load_tokenizer(trained / "vocabulary.json"))
    assert "${" not in (trained / "config.yaml").read_text()


def test_the_summary_has_the_final_figures(trained: Path) -> None:
    summary = json.loads((trained / "summary.json").read_text())
    assert summary["steps"] == 40
    assert summary["epochs"] == 2
    assert summary["time_steps"] == 40 * 4 * 16
    assert summary["time_steps_per_second"] > 0
    assert summary["seconds"] > 0
    assert summary["best_val/loss"] <= summary["val/loss"]
    assert summary["train/loss"] < 3


def test_the_event_file_has_every_scalar_the_text_the_graph_and_the_hyperparameters(trained: Path) -> None:
    board = events(trained)
    assert {tag for tag in board.Tags()["scalars"] if not tag.startswith("insight/")} == SCALARS
    assert board.Tags()["graph"]
    tensors = board.Tags()["tensors"]
    assert "val/sample/text_summary" in tensors
    assert "_hparams_/session_start_info" in board.summary_metadata
    assert [event.step for event in board.Scalars("train/loss")] == list(range(5, 41, 5))
    assert [event.step for event in board.Scalars("val/loss")] == [20, 40]


def test_the_table_agrees_with_the_events(trained: Path) -> None:
    table = rows(trained)
    assert {name for name in table[0] if name != "step"} == SCALARS
    board = events(trained)
    for name in ("train/loss", "val/loss"):
        from_events = {event.step: event.value for event in board.Scalars(name)}
        from_table = {int(row["step"]): float(row[name]) for row in table if row[name]}
        assert from_table == pytest.approx(from_events, rel=1e-6)


def test_training_learns(trained: Path) -> None:
    losses = [float(row["val/loss"]) for row in rows(trained) if row["val/loss"]]
    assert losses[-1] < losses[0]


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    small: list[str], trained: Path, tmp_path: Path
) -> None:
    for name, seed in (("same", 1), ("other", 2)):
        assert run(["train", *small, f"seed={seed}", f"run_dir={tmp_path / name}"]) == 0
    first, same, other = weights(trained), weights(tmp_path / "same"), weights(tmp_path / "other")
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


VARIANTS = {
    "plain": [],
    "averaged": ["averaging=ema", "averaging.decay=0.9"],
    "autoclip": ["clipping=percentile", "clipping.history=8"],
    "accumulating": ["trainer.accumulate_grad_batches=2"],
    "bf16": ["trainer.precision=bf16-mixed"],
    "gru": ["model/cell=gru", "schedule=constant", "optimizer=rmsprop"],
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_that_was_stopped_and_resumed_ends_with_the_weights_of_one_that_was_not(
    variant: str, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by a signal in the middle of the second epoch: the carry, the position and the random state go on."""
    overrides = [
        *small,
        "trainer.limit_train_batches=null",
        "trainer.max_epochs=2",
        "data.lanes=16",
        *VARIANTS[variant],
    ]
    assert run(["train", *overrides, f"run_dir={tmp_path / 'whole'}"]) == 0

    from rnnkit.training.report.monitor import Monitor

    original = Monitor.on_train_batch_end
    windows = 0

    def interrupting(self: Monitor, *arguments: object) -> None:
        nonlocal windows
        windows += 1
        if windows == 190:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Monitor, "on_train_batch_end", interrupting)
    stopped = tmp_path / "stopped"
    with pytest.raises(SystemExit, match="130"):
        run(["train", *overrides, f"run_dir={stopped}"])
    assert windows == (191 if variant == "accumulating" else 190)  # a step is finished first
    assert run(["resume", str(stopped)]) == 0

    whole = weights(tmp_path / "whole")
    resumed = weights(stopped)
    different = [name for name in whole if not torch.equal(whole[name], resumed[name])]
    assert not different
    steps = [int(row["step"]) for row in rows(stopped)]
    assert steps == sorted(set(steps))
    assert steps == [int(row["step"]) for row in rows(tmp_path / "whole")]
    kept = [event.step for event in events(stopped).Scalars("train/loss")]
    assert kept == [event.step for event in events(tmp_path / "whole").Scalars("train/loss")]
    assert (
        json.loads((stopped / "summary.json").read_text())["time_steps"]
        == (json.loads((tmp_path / "whole" / "summary.json").read_text())["time_steps"])
    )


def test_resume_goes_on_to_more_epochs(small: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert run(["train", *small, f"run_dir={folder}"]) == 0
    assert run(["resume", str(folder), "trainer.max_epochs=3"]) == 0
    assert json.loads((folder / "summary.json").read_text())["epochs"] == 3
    assert OmegaConf.load(folder / "config.yaml").trainer.max_epochs == 3
    assert len((folder / "command.txt").read_text().splitlines()) == 2


def test_max_steps_ends_with_a_validation_and_a_checkpoint_wherever_it_falls(small: list[str], tmp_path: Path) -> None:
    assert run(["train", *small, "trainer.max_epochs=-1", "trainer.max_steps=27", f"run_dir={tmp_path / 'run'}"]) == 0
    assert [int(row["step"]) for row in rows(tmp_path / "run") if row["val/loss"]] == [20, 27]
    assert Run.open(tmp_path / "run").checkpoint("last")["global_step"] == 27


def test_validation_can_count_windows_across_epochs(small: list[str], tmp_path: Path) -> None:
    every = ["trainer.val_check_interval=15", "trainer.check_val_every_n_epoch=null"]
    assert run(["train", *small, *every, f"run_dir={tmp_path / 'run'}"]) == 0
    assert [int(row["step"]) for row in rows(tmp_path / "run") if row["val/loss"]] == [15, 30]


def test_training_stops_early_without_a_better_figure(small: list[str], tmp_path: Path) -> None:
    overrides = ["optimizer.lr=0.0", "patience=2", "trainer.max_epochs=50"]
    assert run(["train", *small, *overrides, f"run_dir={tmp_path / 'run'}"]) == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["epochs"] == 3


def test_reduce_on_plateau_follows_the_validations(small: list[str], tmp_path: Path) -> None:
    overrides = ["schedule=reduce_on_plateau", "schedule.patience=1", "optimizer=sgd", "optimizer.lr=1e-6"]
    overrides += ["trainer.max_epochs=6"]
    assert run(["train", *small, *overrides, f"run_dir={tmp_path / 'run'}"]) == 0
    rates = {int(row["step"]): float(row["train/learning_rate"]) for row in rows(tmp_path / "run")}
    # no validation is better than the first: halved after the third and the fifth
    assert [rates[step] / 1e-6 for step in (20, 40, 60, 80, 100, 120)] == pytest.approx([1, 1, 1, 0.5, 0.5, 0.25])


def test_the_best_checkpoint_of_an_averaged_run_holds_the_average(small: list[str], tmp_path: Path) -> None:
    overrides = ["averaging=ema", "averaging.decay=0.99"]
    assert run(["train", *small, *overrides, f"run_dir={tmp_path / 'run'}"]) == 0
    checkpoint = Run.open(tmp_path / "run").checkpoint("last")
    name = "model.rnn.cells.0.weight_hh"
    assert not torch.equal(checkpoint["state_dict"][name], checkpoint["current_model_state"][name])
    task = Run.open(tmp_path / "run").task("last")
    assert torch.equal(task.state_dict()[name], checkpoint["state_dict"][name])


def test_nt_asgd_averages_once_validation_gets_worse(small: list[str], tmp_path: Path) -> None:
    overrides = ["optimizer=nt_asgd", "optimizer.lr=0.0", "averaging.patience=2", "trainer.max_epochs=5"]
    assert run(["train", *small, *overrides, f"run_dir={tmp_path / 'run'}"]) == 0
    state = Run.open(tmp_path / "run").checkpoint("last")["callbacks"]
    (average,) = [value for name, value in state.items() if name.startswith("NonmonotonicAverage")]
    # a loss that stays exactly the same is not worse
    assert average["triggered"] is False
    assert len(average["history"]) == 5


def test_a_run_folder_that_was_moved_keeps_its_best_checkpoint(small: list[str], tmp_path: Path) -> None:
    assert run(["train", *small, f"run_dir={tmp_path / 'before'}"]) == 0
    (tmp_path / "before").rename(tmp_path / "after")
    last = tmp_path / "after" / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    (key,) = [key for key in checkpoint["callbacks"] if "RunCheckpoint" in key and "val/loss" in key]
    state = checkpoint["callbacks"][key]
    state["best_model_score"] = torch.tensor(-1.0)  # nothing will be better
    state["best_k_models"] = dict.fromkeys(state["best_k_models"], torch.tensor(-1.0))
    state["kth_value"] = torch.tensor(-1.0)
    torch.save(checkpoint, last)
    best = (tmp_path / "after" / "checkpoints" / "best.ckpt").read_bytes()
    assert run(["resume", str(tmp_path / "after"), "trainer.max_epochs=3"]) == 0
    assert (tmp_path / "after" / "checkpoints" / "best.ckpt").read_bytes() == best
    assert json.loads((tmp_path / "after" / "summary.json").read_text())["best_val/loss"] == -1
    assert not (tmp_path / "before").exists()
