"""A run folder that cannot be made is told before anything is read; nothing is left of a refused command."""

import os
from pathlib import Path

import pytest

from rnnkit.cli import run

TOO_LONG = "a" * 300


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    return tmp_path


@pytest.mark.parametrize("sweep", [[], ["--multirun", "seed=1,2"]], ids=["one run", "a sweep"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        (TOO_LONG, r"(300 characters)' (File name too long)"),
        (f"above/{TOO_LONG}", "File name too long"),
        ("file", "got 'file' (File exists)"),
        ("file/below", "Not a directory"),
        ("dangling", "got 'dangling' (a link to nothing)"),
        ("/proc/nothing/here", "No such file or directory"),
        ("", "got ''"),
        ("null", "got null"),
        ("7", "Try: "),
    ],
)
def test_folders_that_cannot_be(
    name: str, said: str, sweep: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if sweep and name == "7":
        pytest.skip("Hydra makes a text of it")
    if sweep and name.startswith("above/"):
        pytest.skip("Hydra leaves the folders above a sweep's that it could make")
    assert run(["train", *sweep, "data.path=nowhere.txt", f"run_dir={name}"]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("rnnkit: run_dir: expected ")
    assert said in told or (sweep and "File exists" in told)
    assert told.endswith(("Try: run_dir=runs/mine", "Try: run_dir=runs/7"))
    assert {path.name for path in here.iterdir()} == {"file", "dangling"}


def test_a_folder_without_permission(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "locked").mkdir(mode=0o555)
    if os.access(here / "locked", os.W_OK):
        pytest.skip("this user may write anywhere")
    assert run(["train", "run_dir=locked"]) == 2
    assert run(["train", "run_dir=locked/below"]) == 2
    assert capsys.readouterr().err.count("(Permission denied). Try: run_dir=runs/mine") == 2


def test_a_refused_run_leaves_what_was_there(here: Path) -> None:
    """Empty folders of the user's too, and the folder where the command is typed."""
    (here / "runs").mkdir()
    (here / "file").unlink()
    (here / "dangling").unlink()
    for refused in ("model.hidden_size=0", "data.path=nowhere.txt", "model=nothing", "optimizer.lr=x"):
        for name in ("runs/deep/run", "other/run"):
            assert run(["train", refused, f"run_dir={name}"]) == 2
            assert run(["train", "--multirun", refused, "seed=1,2", f"run_dir={name}"]) == 2
            assert [path.name for path in here.iterdir()] in (["runs"], []), (refused, name)
    assert run(["train", "--multirun", "seed=-1,-2", "run_dir="]) == 2
    assert here.is_dir()


def test_a_sweep_keeps_what_came_of_it(small: list[str], here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = [*small, "trainer.max_epochs=1", "trainer.limit_train_batches=2"]
    assert run(["train", "--multirun", *quick, "model.hidden_size=0,4", "run_dir=sweep"]) == 2
    assert sorted(path.name for path in (here / "sweep").iterdir()) == ["1", "multirun.yaml"]
    assert (here / "sweep" / "1" / "summary.json").is_file()


def test_runs_and_sweeps_that_start_together_have_folders_of_their_own(here: Path, small: list[str]) -> None:
    short = [*small, "trainer.max_epochs=1", "trainer.limit_train_batches=2"]
    for sweep in ([], ["--multirun"]):
        assert run(["train", *sweep, *short]) == run(["train", *sweep, *short]) == 0
    assert len(list((here / "runs" / "language_modeling").iterdir())) == 2
    sweeps = list((here / "runs" / "sweeps").iterdir())
    assert len(sweeps) == 2
    assert all((folder / "0" / "config.yaml").exists() for folder in sweeps)


def test_the_names_of_runs_of_one_moment_differ() -> None:
    from omegaconf import OmegaConf

    from rnnkit.cli.run_names import register

    names = []
    for _ in range(20):
        register()
        config = OmegaConf.create({"run_dir": "${time_of_run:}", "again": "${time_of_run:}"})
        assert config.run_dir == config.again
        names.append(config.run_dir)
    assert len(set(names)) == 20
