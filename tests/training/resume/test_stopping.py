"""When a run saves and stops; how it goes on is in tests/faults."""

import json
from pathlib import Path

import pytest
import torch

from rnnkit.cli import run
from rnnkit.errors import UserError
from rnnkit.training import Run
from rnnkit.training.resume.stopping import Interrupted, SaveAndStop, stopping_at_once

ENDS = {
    "no validation at all": ["trainer.limit_val_batches=0"],
    "none after the last epoch": ["trainer.check_val_every_n_epoch=3"],
    "none, and an end within an epoch": ["trainer.limit_val_batches=0", "trainer.max_steps=33"],
}


@pytest.mark.parametrize("name", ENDS)
def test_the_last_steps_are_saved_without_a_validation_too(name: str, small: list[str], tmp_path: Path) -> None:
    overrides = [*small, "schedule=constant", *ENDS[name]]
    for folder, epochs in (("whole", 4), ("resumed", 2)):
        limit = [] if folder == "resumed" else ["trainer.max_steps=-1"]
        assert run(["train", *overrides, *limit, f"trainer.max_epochs={epochs}", f"run_dir={tmp_path / folder}"]) == 0
    steps = 33 if "within" in name else 40
    assert Run.open(tmp_path / "resumed").checkpoint("last")["global_step"] == steps
    assert run(["resume", str(tmp_path / "resumed"), "trainer.max_epochs=4", "trainer.max_steps=-1"]) == 0
    whole, resumed = (dict(Run.open(tmp_path / name).checkpoint("last")["state_dict"]) for name in ("whole", "resumed"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert json.loads((tmp_path / "resumed" / "summary.json").read_text())["steps"] == 80


@pytest.mark.parametrize("minutes", [0, -1.0, float("nan")])
def test_minutes_that_are_none(minutes: float, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="save_minutes: expected a number above 0"):
        SaveAndStop(tmp_path / "last.ckpt", minutes)


def test_a_time_on_the_command_line_that_is_none(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", *small, "trainer.max_time=soon", f"run_dir={tmp_path / 'run'}"]) == 2
    assert (
        "trainer.max_time: expected a time as DD:HH:MM:SS, a mapping such as {hours: 8} or null; got 'soon'"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()


def test_what_lay_in_a_folder_before_is_left_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    def stopped() -> None:
        with stopping_at_once(tmp_path, new=True):
            (tmp_path / "config.yaml").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="Stopped before the first checkpoint"):
        stopped()
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "config.yaml"}
