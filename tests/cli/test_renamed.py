"""Keys and choices of earlier versions work on the command line, and the present name is printed."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rnnkit.cli import run
from rnnkit.renamed import CHOICES, KEYS, renewed, renewed_overrides

TINY = [
    *("data.path=text.txt", "model.hidden_size=4", "model.num_layers=1", "data.lanes=2", "data.bptt_steps=8"),
    *("trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.log_every_n_steps=1", "run_dir=run"),
]
OLD = [
    *("bad_steps=3", "after_bad_steps=stop", "foresee_memory=false", "schedule=hold_then_decay", "schedule.hold=0.5"),
    *("schedule.times=2", "task.rate_steps=8"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("to be or not to be\n" * 60)


def test_training_and_resuming_take_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", *TINY, *OLD]) == 0
    printed = capsys.readouterr().err
    assert "bad_steps=3 is now max_nonfinite_steps=3" in printed
    assert "schedule=hold_then_decay is now schedule=constant_then_decay" in printed
    config = OmegaConf.load("run/config.yaml")
    assert (config.schedule.constant_share, config.schedule.num_decays, config.task.lr_reference_steps) == (0.5, 2, 8)
    assert (config.max_nonfinite_steps, config.on_nonfinite, config.check_memory) == (3, "stop", False)
    assert run(["resume", "run", "trainer.max_epochs=2", "bad_steps=4"]) == 0
    assert OmegaConf.load("run/config.yaml").max_nonfinite_steps == 4


def test_keys_of_a_class_of_your_own_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    own = ["schedule._target_=my_lab.schedule", "schedule.hold=0.5", "+callbacks.picture._target_=my_lab.Picture"]
    assert renewed_overrides(own) == own
    config = {"schedule": {"_target_": "my_lab.schedule", "hold": 0.5}, "callbacks": {"details": {"_target_": "a.B"}}}
    assert renewed(config) == {**config, "callbacks": {"report": {"_target_": "a.B"}}}
    assert not capsys.readouterr().err


def test_explaining_takes_them() -> None:
    assert run(["explain", *TINY[:5], "foresee_memory=false"]) == 0


def test_a_sweep_takes_them() -> None:
    several = "schedule=hold_then_decay,constant"
    assert run(["train", "--multirun", *TINY[:-1], several, "hydra.sweep.dir=sweep"]) == 0
    assert len(list(Path().rglob("config.yaml"))) >= 2


def test_keys_of_data_that_are_in_groups_now(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.csv").write_text("".join(f"2024-01-{1 + i // 24:02} {i % 24:02}:00,{i % 7},{i % 5}\n" for i in range(400)))
    old = ["data.header=false", "data.time=1", "data.target=[3]", "data.valid_fraction=0.2", "data.stride=2"]
    small = ["task=forecasting", "data=series", "data.path=a.csv", "data.context=12", "data.horizon=4", *old]
    size = ["model.hidden_size=4", "trainer.max_epochs=1", "trainer.limit_train_batches=2", "~callbacks.picture"]
    assert run(["train", *small, *size, "run_dir=run"]) == 0
    said = capsys.readouterr().err
    assert "data.target=[3] is now data.target=[2]" in said
    config = OmegaConf.load("run/config.yaml").data
    assert (config.table.header, config.target) == (False, [2])
    assert (config.split.valid_fraction, config.windows.stride) == (0.2, 2)
    Path("conf/data").mkdir(parents=True)
    Path("conf/data/mine.yaml").write_text(
        "defaults: [series, _self_]\nheader: false\ntime: 1\ntarget: [3]\nstride: 2\n"
    )
    mine = ["task=forecasting", "data=mine", "data.path=a.csv", "data.context=12", "data.horizon=4"]
    assert run(["train", "--config-dir", "conf", *mine, *size, "run_dir=mine"]) == 0
    config = OmegaConf.load("mine/config.yaml").data
    assert (config.table.header, config.time, config.target, config.windows.stride) == (False, 0, [2], 2)
    assert renewed_overrides(["data=mine", "data.stride=2"], ["series"]) == ["data=mine", "data.stride=2"]


def test_every_old_name_is_replaced_by_one_that_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    configs = Path(__file__).parents[2] / "configs"
    train = OmegaConf.load(configs / "train.yaml")
    for key in KEYS.values():
        group, _, name = key.partition(".")
        loaded = [OmegaConf.load(file) for file in configs.rglob("*.yaml")] if name else [train]
        nodes = [node for one in loaded for node in (one, one.get(group, {}))]
        assert key in train or any(name.rpartition(".")[2] in node for node in nodes), key
    for group, names in CHOICES.items():
        for old, new in names.items():
            assert renewed_overrides([f"{group}={old}"]) == [f"{group}={new}"]
            assert (configs / group / f"{new}.yaml").exists()
    assert capsys.readouterr().err.count("is now") == sum(map(len, CHOICES.values()))
